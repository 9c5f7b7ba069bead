package step

import (
	"strings"
	"testing"
)

// unitShell has a systemd with one unit, whose state is in a file.
func unitShell(t *testing.T, state string) *shell {
	s := newShell(t, map[string]string{
		"systemctl": failing + `
state=$(cat "$STATE/unit")
case "$1 ${2:-}" in
"restart "*) [ "${STUCK:-}" = yes ] || echo active >"$STATE/unit" ;;
"stop "*) [ "${STUCK:-}" = yes ] || echo inactive >"$STATE/unit" ;;
"is-active "*) [ "${2:-}" = --quiet ] || echo "$state"; [ "$state" = active ] ;;
"show "*) case $3 in
	MainPID) [ "$state" = active ] && echo "MainPID=$UNITPID" || echo MainPID=0 ;;
	ControlGroup) echo ControlGroup=/none/kubelet.service ;;
	esac ;;
esac`,
		"sleep": "",
	})
	s.write("state/unit", state+"\n")
	return s
}

func TestUnitScripts(t *testing.T) {
	set := func(want string) []string {
		return script([]string{"common", "unit", "unit_set"}, want, "kubelet", "1")
	}
	is := func(want string) []string { return script([]string{"unit", "unit_is"}, want, "kubelet") }
	for _, tt := range []struct{ from, want, says string }{
		{"inactive", "running", "no: kubelet is inactive\n"}, {"failed", "running", "no: kubelet is failed\n"}, {"active", "running", "yes\n"},
		{"active", "stopped", "no: kubelet is active\n"}, {"activating", "stopped", "no: kubelet is activating\n"}, {"inactive", "stopped", "yes\n"},
	} {
		t.Run(tt.from+" "+tt.want, func(t *testing.T) {
			s := unitShell(t, tt.from)
			if out, stderr, code := s.run(is(tt.want)); code != 0 || out != tt.says {
				t.Errorf("exit code %d, says %q\n%s", code, out, stderr)
			}
			for range 2 {
				if out, stderr, code := s.run(set(tt.want)); code != 0 {
					t.Fatalf("exit code %d\n%s%s", code, out, stderr)
				}
			}
			if out, _, _ := s.run(is(tt.want)); out != "yes\n" {
				t.Errorf("says %q", out)
			}
		})
	}
	for want, from := range map[string]string{"running": "inactive", "stopped": "active"} {
		s := unitShell(t, from)
		if _, stderr, code := s.run(set(want), "STUCK=yes"); code != 71 || !strings.Contains(stderr, "see journalctl -u kubelet") {
			t.Errorf("%s that does not come true: exit code %d\n%s", want, code, stderr)
		}
		for _, verb := range []string{"restart", "stop"} {
			if _, stderr, code := s.run(set(want), "FAIL=systemctl "+verb); (verb == "stop") == (want == "stopped") && (code != 71 || !strings.Contains(stderr, "could not be")) {
				t.Errorf("%s: exit code %d\n%s", verb, code, stderr)
			}
		}
	}
}
