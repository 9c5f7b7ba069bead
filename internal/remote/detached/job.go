package detached

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/pkg/plan"
)

// job is one execution as it is asked for.
type job struct {
	id      plan.Execution
	command remote.Command
	dir     string // on the host
	digest  string // of what is to be done
	unit    string
	script  string // the command as a shell sees it
	input   []byte // nil: none
}

// limit is the time the command may take, in whole seconds, at least one.
func (j *job) limit() int64 {
	if j.command.Timeout <= 0 {
		return 0
	}
	return int64((j.command.Timeout + time.Second - 1) / time.Second)
}

// stdin is what wrapper.sh reads: a line with the command, then the input.
func (j *job) stdin() io.Reader {
	line := base64.StdEncoding.EncodeToString([]byte(j.script)) + "\n"
	return io.MultiReader(strings.NewReader(line), bytes.NewReader(j.input))
}

func (j *job) size() string {
	if j.input == nil {
		return "-1"
	}
	return strconv.Itoa(len(j.input))
}

func (e *Executor) job(id plan.Execution, c remote.Command) (*job, error) {
	if len(c.Argv) == 0 || strings.HasPrefix(c.Argv[0], "-") {
		return nil, errors.New("the command has no program")
	}
	argv := c.Argv
	if len(c.Env) > 0 {
		argv = append(append([]string{"env"}, c.Env...), argv...)
	}
	j := &job{id: id, command: c, dir: e.dir(id), script: "exec " + remote.Quote(argv) + "\n"}
	if strings.ContainsRune(j.script, 0) {
		return nil, errors.New("an argument holds a zero byte")
	}
	if c.Stdin != nil {
		var err error
		if j.input, err = io.ReadAll(c.Stdin); err != nil {
			return nil, fmt.Errorf("read the command's input: %w", err)
		}
		j.input = append([]byte{}, j.input...) // not nil
	}
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(j.script), j.input} {
		_, _ = fmt.Fprintf(sum, "%d\n%s", len(part), part)
	}
	j.digest = hex.EncodeToString(sum.Sum(nil))
	name := sha256.Sum256([]byte(id.String()))
	j.unit = "kup-" + hex.EncodeToString(name[:8])
	return j, nil
}

// dir is the directory of an execution on its host.
func (e *Executor) dir(id plan.Execution) string {
	return path.Join(e.base, escape(id.Run), "exec", escape(id.Step+"/"+strconv.Itoa(id.Attempt)))
}

// maxName keeps file names well below the usual limit of 255 bytes.
const maxName = 180

// escape turns a name into one of a file: two names never give the same.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() <= maxName {
		return b.String()
	}
	sum := sha256.Sum256([]byte(name))
	return b.String()[:maxName-32] + "~" + hex.EncodeToString(sum[:8])
}
