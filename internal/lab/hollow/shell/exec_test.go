package shell_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kup-project/kup/internal/lab/hollow/shell"
)

// TestNothingReal runs what would leave marks, or show something, on a real machine.
func TestNothingReal(t *testing.T) {
	real := filepath.Join(t.TempDir(), "real")
	if err := os.WriteFile(real, []byte("real"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("REAL_VARIABLE", "real")
	t.Setenv("HOME", "/real/home")
	h := newHost(t, nil)
	h.write("/etc/hostname", "modelled\n")
	for _, script := range []string{
		`cat ` + real, `ls ` + filepath.Dir(real), `echo "$REAL_VARIABLE"`, `echo $HOME | grep real`, `cat </etc/passwd`,
		`. ` + real, `[ -e ` + real + ` ] && echo real`, `[ -r ` + real + ` ] && echo real`, `echo ` + filepath.Dir(real) + `/r*l`,
		`cd ` + filepath.Dir(real) + ` && pwd`, `/usr/bin/env | grep REAL`, `command -v go bash`, `echo ~daemon | grep sbin`,
		`awk 'BEGIN { while ((getline line < "` + real + `") > 0) print line }'`, `awk 'BEGIN { "cat ` + real + `" | getline x; print x }'`,
		`sh ` + real, `tar -cf - ` + real, `/bin/bash -c 'echo real'`, `type go | grep -v 'not found'`, `id -u nobody | grep 65534`,
	} {
		h.sh("-c", script)
		if out := h.out.String(); strings.Contains(out, "real") && !strings.Contains(out, "*") || strings.Contains(out, "/go\n") {
			t.Errorf("%s printed %q", script, out)
		}
	}
	if got := h.must("sh", "-c", "cat /etc/hostname; hostname"); got != "modelled\nmodelled\n" {
		t.Errorf("the host is called %q", got)
	}
}

// TestWritesNothingReal tries every way to write that a shell has.
func TestWritesNothingReal(t *testing.T) {
	dir := t.TempDir()
	h := newHost(t, nil)
	h.must("mkdir", "-p", dir)
	t.Setenv("TMPDIR", dir)
	for i, script := range []string{
		`echo x >%s`, `echo x >>%s`, `echo x | tee %s`, `touch %s`, `mkdir %s`, `cp /dev/null %s`, `ln -s x %s`, `mktemp %s.XXXX`,
		`tar -cf %s /dev/null`, `awk 'BEGIN { print "x" > "%s" }'`, `awk 'BEGIN { system("touch %s") }'`, `dd if=/dev/zero of=%s count=1`,
		`exec 2>%s; echo x >&2`, `eval 'cat <(echo x) >%s'`, `eval 'mkfifo %s'`,
		`install /dev/null %s`, `umask 077; sh -c 'echo >%s'`, `trap 'echo x >%s' EXIT`,
	} {
		h.sh("-c", fmt.Sprintf(script, fmt.Sprintf("%s/sh-interp-%d", dir, i)))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("on the real machine there is now %v, %v", entries, err)
	}
	if got := h.must("ls", dir); len(strings.Split(got, "\n")) < 12 {
		t.Errorf("in the model there is only\n%s", got)
	}
}

func TestPrograms(t *testing.T) {
	h := newHost(t, map[string]shell.Program{
		"kubeadm": func(_ context.Context, p *shell.Process) int {
			_, _ = fmt.Fprintf(p.Stdout, "%q %s %s %v\n", p.Args, p.Env("A"), p.Dir, p.Root)
			return 7
		},
		"uname": printing("overridden"),
	})
	if code := h.sh("-c", "cd /tmp; A=1 /usr/local/bin/kubeadm 'x y'"); code != 7 || h.out.String() != `["/usr/local/bin/kubeadm" "x y"] 1 /tmp true`+"\n" {
		t.Errorf("exit code %d, %s", code, h.out.String())
	}
	if got := h.must("sh", "-c", "uname; command -v kubeadm"); got != "overridden\n/usr/bin/kubeadm\n" {
		t.Errorf("it printed %q", got)
	}
	h.write("/usr/local/bin/kubeadm", "a file")
	if got := h.must("sh", "-c", "PATH=/usr/local/bin:/usr/bin; command -v kubeadm; which kubeadm"); got != "/usr/local/bin/kubeadm\n/usr/local/bin/kubeadm\n" {
		t.Errorf("it is found at %q", got)
	}
	if code := h.run("/no/such/program"); code != 127 {
		t.Errorf("a program that is not there: exit code %d", code)
	}
	h.write("/opt/binary", "\x7fELF")
	if code := h.run("/opt/binary"); code != 126 {
		t.Errorf("a program of the real machine: exit code %d", code)
	}
}

func TestScriptHook(t *testing.T) {
	h := newHost(t, nil)
	h.write("/opt/wrapper.sh", "#!/bin/sh\necho interpreted \"$@\"\n")
	var asked []string
	h.shell.Script = func(_ context.Context, _ *shell.Process, file, text string, args []string) (bool, int) {
		asked = append(asked, fmt.Sprint(file, args, len(text)))
		return len(args) > 0, 9
	}
	if code := h.run("sh", "/opt/wrapper.sh", "a", "b"); code != 9 || h.out.Len() > 0 {
		t.Errorf("exit code %d, %q", code, h.out.String())
	}
	if got := h.must("sh", "-c", "/opt/wrapper.sh"); got != "interpreted\n" {
		t.Errorf("it printed %q", got)
	}
	if code := h.sh("-c", "exit 3"); code != 3 || len(asked) != 2 || asked[0] != "/opt/wrapper.sh[a b] 32" {
		t.Errorf("exit code %d, asked %q", code, asked)
	}
}

func TestFullDisk(t *testing.T) {
	h := newHost(t, nil)
	h.write("/full/f", "0123456789")
	h.shell.FS.SetFree(4)
	for _, script := range []string{"echo 12345 >/g", "cat /full/f >/g", "cp /full/f /g", "printf 12345 >/g", "tee /g </full/f", "dd if=/full/f of=/g", "sort /full/f >/g"} {
		if code := h.sh("-c", script); code != 1 || !strings.Contains(h.stderr(), "No space left on device") {
			t.Errorf("%s: exit code %d, %q", script, code, h.stderr())
		}
		h.must("rm", "-f", "/g")
	}
	h.must("sh", "-ec", "printf 1234 >/g")
	if got := h.must("sh", "-c", "df -Pk / | tail -n 1"); got != "hollow 1 1 0 100% /\n" {
		t.Errorf("df says %q", got)
	}
}

// started gives programs that tell when they run, and then wait for the end.
func started(running chan<- struct{}) map[string]shell.Program {
	return map[string]shell.Program{"work": func(ctx context.Context, _ *shell.Process) int {
		running <- struct{}{}
		<-ctx.Done()
		return 1
	}}
}

func TestKilled(t *testing.T) {
	for _, script := range []string{"trap 'echo trapped' EXIT TERM; work; echo never", "while :; do work; done", "work | cat; cat", "(work; echo never)", "x=$(work); echo never"} {
		running := make(chan struct{}, 1)
		h := newHost(t, started(running))
		ctx, kill := context.WithCancel(t.Context())
		var out bytes.Buffer
		done := make(chan int)
		go func() {
			done <- h.shell.Exec(ctx, &shell.Process{Args: []string{"sh", "-c", script}, Stdout: &out})
		}()
		<-running
		kill()
		if code := <-done; code != 137 || out.Len() > 0 {
			t.Errorf("%s: exit code %d, %q", script, code, out.String())
		}
	}
}

func TestTerminated(t *testing.T) {
	for script, want := range map[string]string{
		"work": "143 ",
		"trap 'echo never' EXIT; work; echo never":                                   "143 ",
		"trap 'echo end $?' EXIT; trap 'exit 143' HUP INT TERM; work; echo never":    "143 end 143\n",
		"trap 'echo end' EXIT; trap 'echo term; exit 9' TERM; x=$(work); echo never": "9 term\nend\n",
		"trap 'rm /tmp/f; ls /tmp; exit 3' TERM; : >/tmp/f; work | cat":              "3 ",
		"exec sh -c 'trap \"exit 5\" TERM; work'":                                    "5 ",
	} {
		running := make(chan struct{}, 1)
		h := newHost(t, started(running))
		ctx, terminate := shell.Terminable(t.Context())
		var out bytes.Buffer
		done := make(chan int)
		go func() {
			done <- h.shell.Exec(ctx, &shell.Process{Args: []string{"sh", "-c", script}, Stdout: &out})
		}()
		<-running
		terminate()
		if got := fmt.Sprintf("%d %s", <-done, out.String()); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// TestBlockedInput ends commands that wait for input which never comes.
func TestBlockedInput(t *testing.T) {
	for _, script := range []string{"cat", "cat | cat", "read -r x", "sed p", "grep -q x", "tail -n 1", "sh"} {
		h := newHost(t, nil)
		in, out := io.Pipe()
		ctx, kill := context.WithCancel(t.Context())
		done := make(chan int)
		go func() { done <- h.shell.Exec(ctx, &shell.Process{Args: []string{"sh", "-c", script}, Stdin: in}) }()
		if _, err := out.Write([]byte("y")); err != nil { // it is read: somebody waits for more
			t.Fatal(err)
		}
		kill()
		if code := <-done; code != 137 {
			t.Errorf("%s: exit code %d", script, code)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInputIsShared(t *testing.T) {
	h := newHost(t, nil)
	in, out := io.Pipe()
	go func() {
		for _, line := range []string{"one\n", "two\nthr", "ee\n"} {
			_, _ = out.Write([]byte(line)) // the shell reads it all
		}
		_ = out.Close()
	}()
	var got bytes.Buffer
	code := h.shell.Exec(t.Context(), &shell.Process{Args: []string{"sh", "-c", "read -r a; echo $a; cat"}, Stdin: in, Stdout: &got})
	if code != 0 || got.String() != "one\ntwo\nthree\n" {
		t.Errorf("exit code %d, %q", code, got.String())
	}
}

func TestConcurrent(t *testing.T) {
	h := newHost(t, nil)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			var out bytes.Buffer // written from both ends of a pipeline
			script := `for i in 1 2 3; do { echo $i; echo e >&2; } | { cat; echo f >&2; }; done; echo "$0 $1" >>/log; x=$(echo a | tr a b); flock /lock echo $x`
			code := h.shell.Exec(t.Context(), &shell.Process{Args: []string{"sh", "-c", script, "n", fmt.Sprint(i)}, Stdout: &out, Stderr: &out})
			if code != 0 || strings.Count(out.String(), "\n") != 10 {
				t.Errorf("exit code %d, %q", code, out.String())
			}
		})
	}
	wg.Wait()
	if got := strings.Count(h.file("/log"), "\n"); got != 16 {
		t.Errorf("the log has %d lines", got)
	}
}

func TestEnvironment(t *testing.T) {
	env := shell.Environment(map[string]string{"A": "1"}, shell.Environment(map[string]string{"A": "0", "B": "2"}, nil))
	if got := env("A") + env("B") + env("C") + env(""); got != "12A B" {
		t.Errorf("the variables are %q", got)
	}
	h := newHost(t, map[string]shell.Program{"sudo": func(ctx context.Context, p *shell.Process) int {
		child := p.Child(p.Args[1:]...)
		child.Root = true
		return p.Shell.Exec(ctx, child)
	}})
	var out bytes.Buffer
	code := h.shell.Exec(t.Context(), &shell.Process{
		Args:   []string{"sh", "-c", "id -u; X=3 sudo sh -c 'id -u; echo $A$X; true | sh -c \"echo \\$A\\$X\"'; echo ~ ~root; umask 027; mkdir /d; sudo sh -c 'stat -c %a /d; umask'"},
		Stdout: &out, Env: env,
	})
	if want := "1000\n0\n13\n13\n/home/user /root\n750\n0027\n"; code != 0 || out.String() != want {
		t.Errorf("exit code %d, %q", code, out.String())
	}
}

func TestRefused(t *testing.T) {
	h := newHost(t, nil)
	for _, script := range []string{
		"echo ${10}", "[[ a = b ]]", "cat <(echo)", "sed 's/\\(a\\)\\1/x/'", "sed y/a/b/", "grep '\\(a\\)\\1' /dev/null", "ls --color /", "find / -exec true", "rm --no-preserve-root",
		"flock 9", "umask u+x", "kill 1", "date +%Q", "trap -l", "tar --sparse -cf /x /dev", "stat /", "sort -k2 /dev/null", "xargs -I{} echo", "cat -A /dev/null", "(", "echo 3>/tmp/x",
	} {
		if code := h.sh("-c", script); code == 0 || h.stderr() == "" {
			t.Errorf("%s: exit code %d, %q", script, code, h.stderr())
		}
	}
}
