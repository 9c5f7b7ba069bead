package cli

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"kup": func() { os.Exit(Main(os.Args[1:])) },
	})
}

// TestScripts runs the stories in testdata/script: kup as a process of its own
// against a modelled API server. A story finds in $WORK admin.conf, and may put
// its own answers of that server below api/, by URL path.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			s := serveAPI(filepath.Join(e.WorkDir, "api"), "testdata/api")
			e.Defer(s.Close)
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			e.Setenv("USER", "ops")
			e.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
			e.Setenv("KUBECONFIG", "")
			return errors.Join(os.MkdirAll(home, 0o700), writeKubeconfig(filepath.Join(e.WorkDir, "admin.conf"), s))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus,
			"mode":   scriptMode,
		},
	})
}

// scriptStatus runs kup and wants an exit status: status 2 kup plan.
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status code command [args]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if exit := new(exitCoder); errors.As(err, exit) {
		got = fmt.Sprint((*exit).ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

type exitCoder interface {
	error
	ExitCode() int
}

// scriptMode wants a file's permissions: mode 600 file.
func scriptMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode perm file")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// serveAPI models an API server: it answers with the JSON file of the request's
// path in the first directory that has one, and otherwise with an empty list. A
// file that is empty stands for an object that is not there.
func serveAPI(dirs ...string) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			http.Error(w, "this model cannot be written", http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path == "/metrics" {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		for _, dir := range dirs {
			content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(r.URL.Path)+".json"))
			if err == nil && len(content) > 0 {
				_, _ = w.Write(content)
				return
			}
			if err == nil {
				w.WriteHeader(http.StatusNotFound)
				return
			}
		}
		if strings.Contains(r.URL.Path, "/kube-system/leases/") || strings.Contains(r.URL.Path, "/configmaps/") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, `{"metadata":{},"items":[]}`)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	return s
}

func writeKubeconfig(path string, s *httptest.Server) error {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	content, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "admin@prod",
		"clusters": []any{map[string]any{"name": "prod", "cluster": map[string]any{"server": s.URL, "certificate-authority-data": ca}}},
		"users":    []any{map[string]any{"name": "admin", "user": map[string]any{"token": "hunter2"}}},
		"contexts": []any{map[string]any{"name": "admin@prod", "context": map[string]any{"cluster": "prod", "user": "admin"}}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}
