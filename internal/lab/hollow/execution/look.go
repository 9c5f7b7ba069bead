package execution

import (
	"context"
	"path"
	"strings"
	"time"
)

// standing is where an execution stands: unstarted, running, exited or lost.
type standing struct{ state, code, how string }

func (q *question) look() standing {
	if !q.exists(path.Join(q.dir, "started")) {
		return standing{state: "unstarted"}
	}
	if s, ok := q.ended(); ok {
		return s
	}
	s := standing{state: "running"}
	then, _ := q.line(path.Join(q.dir, "boot"))
	if now, _ := q.line(q.boot); then != now {
		s = standing{state: "lost", how: "reboot"}
	} else if release, err := q.fs.TryLock(path.Join(q.dir, "alive"), true); err == nil {
		release()
		s = standing{state: "lost", how: vanished}
	}
	// Asked last: the command may have ended while the rest was looked at.
	if e, ok := q.ended(); ok {
		return e
	}
	return s
}

// ended reads the status, if there is one.
func (q *question) ended() (standing, bool) {
	line, err := q.line(path.Join(q.dir, "status"))
	if err != nil || line == "" {
		return standing{}, false
	}
	code, how, _ := strings.Cut(line, " ")
	return standing{state: "exited", code: code, how: how}, true
}

// status answers without waiting. What nobody carries out is withdrawn: whoever
// does so holds the lock until it is started, so nobody is on the way.
func (q *question) status(ctx context.Context) (*reply, error) {
	if !q.exists(q.dir) {
		return &reply{state: "absent"}, nil
	}
	if !q.exists(path.Join(q.dir, "started")) {
		release, err := q.guard(ctx)
		if err != nil {
			return nil, err
		}
		defer release()
		if !q.exists(path.Join(q.dir, "started")) {
			return &reply{state: "absent"}, q.withdraw()
		}
	}
	s := q.look()
	return &reply{state: s.state, a: s.code, b: s.how}, nil
}

// attend waits until the command has ended, or has said something, or HOLD is over.
func (q *question) attend(ctx context.Context) standing {
	hold := time.NewTimer(time.Duration(q.hold) * 10 * time.Millisecond)
	defer hold.Stop()
	quick := time.NewTimer(time.Duration(q.quick) * 10 * time.Millisecond)
	defer quick.Stop()
	// Of what happens by itself there is news; the rest is looked at once a second,
	// as the script does.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	early := false
	for waiting := q.hold > 0; ; {
		var news <-chan struct{}
		if r := q.on.find(q.dir); r != nil {
			news = r.told()
		}
		s := q.look()
		if s.state != "running" || !waiting || early && q.said() > q.out+q.err {
			return s
		}
		select {
		case <-news:
		case <-tick.C:
		case <-quick.C:
			early = true
		case <-hold.C:
			waiting = false
		case <-ctx.Done():
			return s
		}
	}
}

func (q *question) length(name string) int64 {
	i, err := q.fs.Stat(path.Join(q.dir, name))
	if err != nil {
		return 0
	}
	return i.Size()
}

// said is how much the command has said.
func (q *question) said() int64 { return q.length("stdout") + q.length("stderr") }

// most is how much of either output one answer holds.
const most = 1 << 20

// show answers with the state and the output that was not shown before.
func (q *question) show(s standing) *reply {
	r := &reply{state: s.state, a: s.code, b: s.how}
	if s.state != "unstarted" {
		r.stdout = q.part("stdout", q.out)
		r.stderr = q.part("stderr", q.err)
	}
	return r
}

func (q *question) part(name string, from int64) []byte {
	b, err := q.fs.ReadFile(path.Join(q.dir, name))
	if err != nil || from >= int64(len(b)) {
		return nil
	}
	b = b[max(0, from):]
	return b[:min(len(b), most)]
}
