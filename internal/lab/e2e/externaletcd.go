package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/lab/node"
	"github.com/kup-project/kup/pkg/plan"
)

// removedFlag is a flag of etcd 3.5 that 3.6 does not know: with it on the command line
// the older one starts and the newer one refuses.
const removedFlag = "--enable-v2=false"

// refusal is the drop-in that puts the flag there.
const refusal = "/etc/systemd/system/etcd.service.d/90-kup-lab.conf"

// externalEtcd is the scenario's state.
type externalEtcd struct {
	*hop
	swaps []plan.Step // in the order of the plan
	// refusing is the host whose member does not start at the newer release.
	refusing string
}

// runExternalEtcd goes up once undisturbed, and once, on a cluster made anew, with a
// member in the way.
func runExternalEtcd(ctx context.Context, e *env) error {
	if len(e.lab.EtcdHosts()) == 0 {
		return fmt.Errorf("lab %s has no external etcd: kup-lab up --external-etcd 3", e.lab.Name())
	}
	whole := &externalEtcd{hop: newHop(e)}
	whole.more = whole.judgeMembers
	e.printf("==== part one: nothing in the way")
	if err := whole.run(ctx); err != nil {
		return err
	}
	e.printf("==== part two: a member that refuses the newer release")
	if err := e.anew(ctx); err != nil {
		return err
	}
	refused := &externalEtcd{hop: newHop(e)}
	refused.drive = refused.refuse
	refused.more = refused.judgeMembers
	return refused.run(ctx)
}

// anew takes the lab down and brings the scenario's up again.
func (e *env) anew(ctx context.Context) error {
	if err := e.lab.Down(ctx); err != nil {
		return err
	}
	if err := e.openLab(ctx); err != nil {
		return err
	}
	return e.connect()
}

// refuse has the second member of the stage refuse the newer release: apply stops with
// the other two a quorum, rollback brings the member back, and with the cause mended the
// run goes on to its end.
func (x *externalEtcd) refuse(ctx context.Context, _ *traffic) error {
	if err := x.readSwaps(); err != nil {
		return err
	}
	if len(x.swaps) != 3 {
		return fmt.Errorf("the plan swaps %d members, and the scenario is about three", len(x.swaps))
	}
	x.refusing = x.swaps[1].Node
	if err := x.plant(ctx); err != nil {
		return fmt.Errorf("%s: %w", x.refusing, err)
	}
	stopped, err := x.kup.run(ctx, prefixed(x.out, "kup apply | "), append(x.applyArgs(), noRollback)...)
	if err != nil {
		return err
	}
	x.check(stopped.code == exitStopped, "apply with a member that refuses: exit code %d, want %d: %s", stopped.code, exitStopped, stopped.errorLine())
	x.judgeStopped(ctx)
	back, err := x.kup.run(ctx, prefixed(x.out, "kup rollback | "), "rollback", "-f", x.lab.Inventory(), "--yes", acceptNotices)
	if err != nil {
		return err
	}
	x.check(back.code == exitRolledBack, "kup rollback: exit code %d, want %d: %s", back.code, exitRolledBack, back.errorLine())
	x.judgeBack(ctx)
	if err := x.mend(ctx); err != nil {
		return fmt.Errorf("%s: %w", x.refusing, err)
	}
	x.applied, err = x.kup.run(ctx, prefixed(x.out, "kup apply --resume | "), append(resumeArgs(x.lab.Inventory()), acceptNotices)...)
	return err
}

// readSwaps takes them out of the plan file.
func (x *externalEtcd) readSwaps() error {
	p, err := x.readPlan()
	if err != nil {
		return err
	}
	p.Steps(func(_ *plan.Hop, _ *plan.Stage, s *plan.Step) bool {
		if s.Kind == plan.KindEtcdSwap {
			x.swaps = append(x.swaps, *s)
		}
		return true
	})
	return nil
}

// plant has the member started with the flag, and proves that the older etcd bears it.
func (x *externalEtcd) plant(ctx context.Context) error {
	const script = `mkdir -p "$(dirname "$1")"
printf '[Service]\nExecStart=\nExecStart=/usr/local/bin/etcd %s\n' "$2" >"$1"
systemctl daemon-reload
systemctl restart etcd`
	if _, err := x.lab.Exec(ctx, x.refusing, "sh", "-euc", script, "sh", refusal, removedFlag); err != nil {
		return err
	}
	return x.awaitMembers(ctx)
}

// mend takes the flag away again. The member goes on as it runs.
func (x *externalEtcd) mend(ctx context.Context) error {
	_, err := x.lab.Exec(ctx, x.refusing, "sh", "-euc", `rm "$1" && systemctl daemon-reload`, "sh", refusal)
	return err
}

const membersBack = 2 * time.Minute

// awaitMembers waits until every member says that it is healthy.
func (x *externalEtcd) awaitMembers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, membersBack)
	defer cancel()
	return poll(ctx, time.Second, func(ctx context.Context) error {
		for _, n := range x.lab.EtcdHosts() {
			if err := x.healthy(ctx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// healthy asks a member from its own host. A member is healthy only while there is a
// quorum, of which it is one.
func (e *env) healthy(ctx context.Context, n node.Node) error {
	out, err := e.lab.Exec(ctx, n.Name, "curl", "-fsS", "--max-time", "5", "--cacert", "/etc/etcd/pki/ca.crt",
		"--cert", "/etc/etcd/pki/client.crt", "--key", "/etc/etcd/pki/client.key", "https://127.0.0.1:2379/health")
	if err == nil && !strings.Contains(out, `"true"`) {
		err = errors.New("it says " + out)
	}
	if err != nil {
		return fmt.Errorf("etcd on %s: %w", n.Name, err)
	}
	return nil
}

// judgeStopped wants a quorum where kup stopped: the first member at the newer release, the
// second down, the third as it was.
func (x *externalEtcd) judgeStopped(ctx context.Context) {
	state, err := x.lab.Exec(ctx, x.refusing, "sh", "-c", "systemctl is-active etcd || :")
	x.check(err == nil && strings.TrimSpace(state) != "active", "%s: etcd is %q, and was to refuse: %v", x.refusing, state, err)
	for _, n := range x.lab.EtcdHosts() {
		if n.Name == x.refusing {
			continue
		}
		err := x.healthy(ctx, n)
		x.check(err == nil, "kup stopped without a quorum: %v", err)
	}
	x.judgeVersion(ctx, x.swaps[0].Node, x.swaps[0].Args["version"])
	x.judgeVersion(ctx, x.swaps[2].Node, x.swaps[2].Args["from"])
	x.sum("members that served when kup stopped", "2 of 3")
}

// judgeBack wants the member that refused back at the older release, on its own data: it
// is the member it was.
func (x *externalEtcd) judgeBack(ctx context.Context) {
	err := x.awaitMembers(ctx)
	x.check(err == nil, "after the rollback: %v", err)
	x.judgeVersion(ctx, x.refusing, x.swaps[1].Args["from"])
	x.sum("the member that refused, after the rollback", "%s", x.swaps[1].Args["from"])
}

// judgeVersion holds what a member's running program says against the plan's v3.6.5.
func (x *externalEtcd) judgeVersion(ctx context.Context, host, want string) {
	got, err := x.externalVersion(ctx, host)
	x.check(err == nil && got == strings.TrimPrefix(want, "v"), "%s: etcd is %q, want %s: %v", host, got, want, err)
}

// externalVersion runs the program that the unit runs.
func (e *env) externalVersion(ctx context.Context, host string) (string, error) {
	const script = `pid=$(systemctl show -p MainPID etcd | sed -n 's/^MainPID=//p')
[ "${pid:-0}" != 0 ] || { echo "etcd does not run" >&2; exit 1; }
exec "/proc/$pid/exe" --version`
	text, err := e.lab.Exec(ctx, host, "sh", "-c", script)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(text, "\n")
	return lastWord(first), nil
}

// judgeMembers wants every member at the release that the plan ends with, all healthy.
func (x *externalEtcd) judgeMembers(ctx context.Context) error {
	if x.swaps == nil {
		if err := x.readSwaps(); err != nil {
			return err
		}
	}
	rows := [][]string{{"host", "etcd before", "etcd", "plan"}}
	for _, s := range x.swaps {
		got, err := x.externalVersion(ctx, s.Node)
		x.check(err == nil && "v"+got == s.Args["version"], "%s: etcd is %q, want %s: %v", s.Node, got, s.Args["version"], err)
		x.check(minorOf(s.Args["from"]) != minorOf(s.Args["version"]), "%s: the plan takes etcd from %s to %s, and the scenario is about a minor", s.Node, s.Args["from"], s.Args["version"])
		rows = append(rows, []string{s.Node, s.Args["from"], got, s.Args["version"]})
	}
	x.check(len(x.swaps) == len(x.lab.EtcdHosts()), "the plan swaps %d members of %d", len(x.swaps), len(x.lab.EtcdHosts()))
	err := x.awaitMembers(ctx)
	x.check(err == nil, "at the end: %v", err)
	x.printTable("Members, asked themselves", rows)
	x.sum("external members at the newer release", "%d of %d", len(rows)-1, len(x.lab.EtcdHosts()))
	return nil
}

// minorOf is "3.6" for "v3.6.5".
func minorOf(version string) string {
	v := strings.TrimPrefix(version, "v")
	return v[:max(strings.LastIndexByte(v, '.'), 0)]
}
