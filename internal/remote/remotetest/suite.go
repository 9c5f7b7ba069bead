package remotetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/remote"
)

// Run tests the host that open gives. It needs a POSIX shell there, root or
// something that passes for it, and leaves nothing behind but empty directories.
func Run(t *testing.T, open func(t *testing.T) remote.Host) {
	RunText(t, open)
	t.Run("bytes", func(t *testing.T) { testBytes(t, open(t)) })
}

// RunText is Run for hosts whose shell reads UTF-8 only, as a modelled one does. kup
// sends nothing else.
func RunText(t *testing.T, open func(t *testing.T) remote.Host) {
	for name, test := range map[string]func(*testing.T, remote.Host){
		"name":       testName,
		"output":     testOutput,
		"arguments":  testArguments,
		"input":      testInput,
		"exit":       testExit,
		"cancelled":  testCancelled,
		"timeout":    testTimeout,
		"concurrent": testConcurrent,
		"files":      testFiles,
		"replace":    testReplace,
		"missing":    testMissing,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func sh(script string, args ...string) []string {
	return append([]string{"sh", "-c", script, "sh"}, args...)
}

func output(t *testing.T, h remote.Host, argv ...string) string {
	t.Helper()
	r, err := h.Run(t.Context(), remote.Command{Argv: argv, Sudo: true})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(r.Stdout), "\n")
}

// directory makes one on the host and removes it with the test.
func directory(t *testing.T, h remote.Host) string {
	t.Helper()
	dir := output(t, h, "mktemp", "-d")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if _, err := h.Run(ctx, remote.Command{Argv: []string{"rm", "-rf", dir}, Sudo: true}); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func testName(t *testing.T, h remote.Host) {
	if h.String() == "" {
		t.Error("the host has no name")
	}
}

func testOutput(t *testing.T, h remote.Host) {
	for _, sudo := range []bool{false, true} {
		r, err := h.Run(t.Context(), remote.Command{Argv: sh(`printf out; printf err >&2`), Sudo: sudo})
		if err != nil || string(r.Stdout) != "out" || string(r.Stderr) != "err" {
			t.Errorf("sudo %v: %q, %q, %v", sudo, r.Stdout, r.Stderr, err)
		}
	}
	r, err := h.Run(t.Context(), remote.Command{Argv: sh(`dd if=/dev/zero bs=65536 count=16 2>/dev/null; echo done >&2`)})
	if err != nil || len(r.Stdout) != 16<<16 || string(r.Stderr) != "done\n" {
		t.Errorf("%d bytes of output, %q, %v", len(r.Stdout), r.Stderr, err)
	}
}

func testArguments(t *testing.T, h remote.Host) {
	testWords(t, h, "", "a b", "it's", `"`, `\`, "$HOME", "`id`", "*", "~", "a\nb", "é", "-n", ";", "&", "#")
}

func testBytes(t *testing.T, h remote.Host) { testWords(t, h, "\xff", "a\xfe'b") }

func testWords(t *testing.T, h remote.Host, words ...string) {
	t.Helper()
	for _, sudo := range []bool{false, true} {
		r, err := h.Run(t.Context(), remote.Command{
			Argv: sh(`printf '%s\0' "$KUP_A" "$@"`, words...), Env: []string{"KUP_A=x 'y' $z"}, Sudo: sudo,
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "x 'y' $z\x00" + strings.Join(words, "\x00") + "\x00"
		if string(r.Stdout) != want {
			t.Errorf("sudo %v: the command got %q, want %q", sudo, r.Stdout, want)
		}
	}
}

func testInput(t *testing.T, h remote.Host) {
	big := bytes.Repeat([]byte("0123456789abcde\x00"), 1<<14)
	for _, sudo := range []bool{false, true} {
		for _, in := range [][]byte{nil, []byte("a line\n"), []byte("\n\nno end"), big} {
			r, err := h.Run(t.Context(), remote.Command{Argv: []string{"cat"}, Stdin: bytes.NewReader(in), Sudo: sudo})
			if err != nil || !bytes.Equal(r.Stdout, in) {
				t.Errorf("sudo %v: cat of %d bytes gives %d, %v", sudo, len(in), len(r.Stdout), err)
			}
		}
		if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"true"}, Stdin: bytes.NewReader(big), Sudo: sudo}); err != nil {
			t.Errorf("sudo %v: input that is not read: %v", sudo, err)
		}
		r, err := h.Run(t.Context(), remote.Command{Argv: []string{"cat"}, Sudo: sudo})
		if err != nil || len(r.Stdout) != 0 {
			t.Errorf("sudo %v: without input: %q, %v", sudo, r.Stdout, err)
		}
	}
}

func testExit(t *testing.T, h remote.Host) {
	for _, sudo := range []bool{false, true} {
		_, err := h.Run(t.Context(), remote.Command{Argv: sh(`echo out; printf 'one\ntwo\n' >&2; exit 7`), Sudo: sudo})
		var failed *remote.ExitError
		if !errors.As(err, &failed) {
			t.Fatalf("sudo %v: %v is no ExitError", sudo, err)
		}
		if failed.Code != 7 || string(failed.Stderr) != "one\ntwo\n" || string(failed.Stdout) != "out\n" || failed.Host != h.String() || failed.Argv[0] != "sh" {
			t.Errorf("sudo %v: %+v", sudo, failed)
		}
	}
	var failed *remote.ExitError
	if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"/no/such/program"}}); !errors.As(err, &failed) || failed.Code != 127 {
		t.Errorf("a program that is not there: %v", err)
	}
}

func testCancelled(t *testing.T, h remote.Host) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"true"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.Run(ctx, remote.Command{Argv: []string{"sleep", "60"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v", err)
	}
	output(t, h, "true") // the host is none the worse
}

func testTimeout(t *testing.T, h remote.Host) {
	_, err := h.Run(t.Context(), remote.Command{Argv: []string{"sleep", "60"}, Timeout: 100 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), h.String()) {
		t.Errorf("with a timeout: %v", err)
	}
}

func testConcurrent(t *testing.T, h remote.Host) {
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			r, err := h.Run(t.Context(), remote.Command{Argv: []string{"echo", fmt.Sprint(i)}, Sudo: i%2 == 0})
			if err != nil || string(r.Stdout) != fmt.Sprintln(i) {
				t.Errorf("%d: %q, %v", i, r.Stdout, err)
			}
		})
	}
	wg.Wait()
}

func testFiles(t *testing.T, h remote.Host) {
	dir := directory(t, h)
	binary := make([]byte, 1<<17)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for name, content := range map[string][]byte{"empty": {}, "text": []byte("a\nb\n"), "no end": []byte("\n\nx"), "it's $HOME": binary} {
		file := path.Join(dir, "made", "too", name)
		if err := h.WriteFile(t.Context(), file, content, 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := h.ReadFile(t.Context(), file)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q: read %d bytes of %d, %v", name, len(got), len(content), err)
		}
		if mode := output(t, h, "stat", "-c", "%a", file); mode != "640" {
			t.Errorf("%q has mode %s, want 640", name, mode)
		}
	}
	for _, d := range []string{"made", "made/too"} {
		if mode := output(t, h, "stat", "-c", "%a", path.Join(dir, d)); mode != "700" {
			t.Errorf("directory %s has mode %s, want 700", d, mode)
		}
	}
	if names := output(t, h, "ls", "-A", path.Join(dir, "made", "too")); len(strings.Split(names, "\n")) != 4 {
		t.Errorf("writing left something behind:\n%s", names)
	}
}

func testReplace(t *testing.T, h remote.Host) {
	dir := directory(t, h)
	file := path.Join(dir, "file")
	for i, perm := range []fs.FileMode{0o600, 0o644} {
		content := []byte(strings.Repeat("x", 10-i))
		if err := h.WriteFile(t.Context(), file, content, perm); err != nil {
			t.Fatal(err)
		}
		if got, err := h.ReadFile(t.Context(), file); err != nil || !bytes.Equal(got, content) {
			t.Errorf("write %d: %q, %v", i, got, err)
		}
		if mode := output(t, h, "stat", "-c", "%a", file); mode != fmt.Sprintf("%o", perm) {
			t.Errorf("write %d: mode %s, want %o", i, mode, perm)
		}
	}
	if err := h.WriteFile(t.Context(), dir, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if got := output(t, h, "ls", "-A", dir); got != "file" {
		t.Errorf("the directory holds %q", got)
	}
}

func testMissing(t *testing.T, h remote.Host) {
	dir := directory(t, h)
	for _, file := range []string{path.Join(dir, "none"), path.Join(dir, "no", "such", "directory")} {
		_, err := h.ReadFile(t.Context(), file)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), h.String()) {
			t.Errorf("a missing file: %v", err)
		}
	}
	if _, err := h.ReadFile(t.Context(), dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory read as a file: %v", err)
	}
}
