package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/kup-project/kup/internal/lab/cast"
	"github.com/kup-project/kup/internal/lab/hollow"
)

func TestParseFault(t *testing.T) {
	for _, c := range []struct {
		args []string
		want hollow.Fault
	}{
		{[]string{"balancer-gone"}, hollow.Fault{Name: "balancer-gone", Args: map[string]string{}}},
		{[]string{"cut", "w-1"}, hollow.Fault{Name: "cut", Host: "w-1", Args: map[string]string{}}},
		{[]string{"cut-on", "line=kubeadm upgrade", "cp-1", "when=after"}, hollow.Fault{Name: "cut-on", Host: "cp-1", Args: map[string]string{"line": "kubeadm upgrade", "when": "after"}}},
	} {
		if got := parseFault(c.args); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %+v, want %+v", c.args, got, c.want)
		}
	}
}

func TestRecordDrawsAndPassesTheExitCodeOn(t *testing.T) {
	dir := t.TempDir()
	o := recordOptions{
		cast: filepath.Join(dir, "a.cast"), svg: filepath.Join(dir, "a.svg"),
		command: cast.Command{Argv: []string{"sh", "-c", "echo hello; exit 4"}, Width: 40, Height: 5, Title: "hello"},
	}
	err := record(t.Context(), o, &bytes.Buffer{})
	if exit := (*remoteExit)(nil); !errors.As(err, &exit) || exit.code != 4 {
		t.Fatalf("got %v, want exit code 4", err)
	}
	first, err := os.ReadFile(o.svg)
	if err != nil || !bytes.Contains(first, []byte(">hello<")) {
		t.Fatalf("the drawing: %v\n%s", err, first)
	}
	o.command.Argv = nil
	if err := record(t.Context(), o, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(o.svg); err != nil || !bytes.Equal(again, first) {
		t.Errorf("drawn from the cast it is another: %v", err)
	}
}
