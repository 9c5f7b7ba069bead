package execution

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// ask makes the execution, unless it is there, has it carried out and waits.
func (q *question) ask(ctx context.Context) (*reply, error) {
	var r *reply
	var err error
	if q.exists(path.Join(q.dir, "started")) {
		r = q.same()
	} else {
		r, err = q.propose(ctx)
	}
	if r != nil || err != nil {
		return r, err
	}
	return q.show(q.attend(ctx)), nil
}

// same answers when the execution is of another command.
func (q *question) same() *reply {
	if digest, _ := q.line(path.Join(q.dir, "digest")); digest != q.digest {
		return &reply{state: "other"}
	}
	return nil
}

// propose answers when the execution must not run.
func (q *question) propose(ctx context.Context) (*reply, error) {
	all := path.Dir(q.dir)
	if err := q.directory(all); err != nil {
		return nil, err
	}
	fresh, err := q.draft(all)
	if fresh != "" {
		defer func() { _ = q.fs.RemoveAll(fresh) }()
	}
	if err != nil {
		return nil, err
	}
	release, err := q.guard(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if !q.exists(q.dir) {
		if fenced, err := q.raise(); fenced != nil || err != nil {
			return fenced, err
		}
		if err := q.fs.Rename(fresh, q.dir); err != nil {
			return nil, fmt.Errorf("cannot make %s", q.dir)
		}
	}
	if other := q.same(); other != nil || q.exists(path.Join(q.dir, "started")) {
		return other, nil
	}
	if fenced, err := q.raise(); fenced != nil || err != nil {
		return fenced, err
	}
	return nil, q.launch()
}

// draft writes what is to be carried out into a new directory beside those that are
// complete.
func (q *question) draft(all string) (dir string, err error) {
	dir = path.Join(all, ".new."+rand.Text()[:6])
	if err := q.fs.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot write to %s", all)
	}
	files := map[string]string{
		"digest": q.digest + "\n", "limit": strconv.FormatInt(q.limit, 10) + "\n", "unit": q.unit + "\n",
		"stdout": "", "stderr": "",
	}
	input := bufio.NewReader(q.stdin)
	line, err := input.ReadString('\n')
	command, bad := base64.StdEncoding.DecodeString(strings.TrimSuffix(line, "\n"))
	if err != nil || bad != nil {
		return dir, errors.New("the command did not arrive whole")
	}
	files["command"] = string(command)
	if q.size >= 0 {
		b, _ := io.ReadAll(input)
		if int64(len(b)) != q.size {
			return dir, errors.New("the command's input did not arrive whole")
		}
		files["stdin"] = string(b)
	}
	for name, content := range files {
		if err := q.fs.WriteFile(path.Join(dir, name), []byte(content), 0o600); err != nil {
			return dir, fmt.Errorf("cannot write to %s", all)
		}
	}
	return dir, nil
}

// withdraw takes an execution back that nobody carries out. Whoever comes late
// finds nothing to start.
func (q *question) withdraw() error {
	if err := q.fs.RemoveAll(q.dir); err != nil {
		return fmt.Errorf("withdraw %s: %w", q.dir, err)
	}
	return nil
}
