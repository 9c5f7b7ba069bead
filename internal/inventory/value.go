package inventory

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
)

// Amount is a number of nodes, or a percentage of them. Exactly one of the
// fields is set.
type Amount struct {
	Number  int `json:"number,omitempty"`
	Percent int `json:"percent,omitempty"` // 1 to 100
}

// Count gives how many nodes the amount allows out of total. A percentage is
// rounded down; the answer is at least 1, or no upgrade would ever proceed.
func (a Amount) Count(total int) int {
	if a.Percent == 0 {
		return max(a.Number, 1)
	}
	return max(total*a.Percent/100, 1)
}

// String gives the amount as it is written in kup.yaml: 2 or 25%.
func (a Amount) String() string {
	if a.Percent != 0 {
		return strconv.Itoa(a.Percent) + "%"
	}
	return strconv.Itoa(a.Number)
}

// Bytes is a number of bytes; 0: none was given.
type Bytes int64

var bytesForm = regexp.MustCompile(`^([1-9][0-9]{0,6})(KiB|MiB|GiB)$`)

// ParseBytes reads a number of bytes as it is written in kup.yaml: 50MiB.
func ParseBytes(s string) (Bytes, error) {
	m := bytesForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%s is not a size", quoted(s))
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, err
	}
	return Bytes(n << map[string]int{"KiB": 10, "MiB": 20, "GiB": 30}[m[2]]), nil
}

// String gives the size as it is written in kup.yaml, in the largest unit that fits.
func (b Bytes) String() string {
	for _, unit := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if b > 0 && b%(1<<unit.shift) == 0 {
			return strconv.FormatInt(int64(b>>unit.shift), 10) + unit.name
		}
	}
	if b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(b), 10)
}

// None is what bastion and config take to switch an inherited value off.
const None = "none"

// checkJumps checks a bastion value: jump hosts with commas between them.
func checkJumps(s string) error {
	if s == "" || s == None {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		if err := checkJump(strings.TrimSpace(part)); err != nil {
			return err
		}
	}
	return nil
}

func checkJump(s string) error {
	host := s
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if !userName.MatchString(s[:i]) {
			return fmt.Errorf("%s names no valid user", quoted(s))
		}
		host = s[i+1:]
	}
	host, port, ok := splitPort(host)
	if n, err := strconv.ParseUint(port, 10, 16); ok && (err != nil || n == 0) {
		return fmt.Errorf("%s has no valid port", quoted(s))
	}
	if !validHost(host) {
		return fmt.Errorf("%s names no valid host", quoted(s))
	}
	return nil
}

// splitPort cuts host:port, [v6]:port and [v6]; a bare IPv6 address has no
// port. What has another form comes back whole.
func splitPort(s string) (host, port string, ok bool) {
	if inner, found := strings.CutPrefix(s, "["); found {
		host, rest, closed := strings.Cut(inner, "]")
		port, ok = strings.CutPrefix(rest, ":")
		if !closed || (rest != "" && !ok) {
			return s, "", false
		}
		return host, port, ok
	}
	if strings.Count(s, ":") != 1 {
		return s, "", false
	}
	return strings.Cut(s, ":")
}

var (
	dnsLabel  = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$`)
	hostLabel = regexp.MustCompile(`^[a-zA-Z0-9_][-a-zA-Z0-9_]{0,62}$`)
	userName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?$`)
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	checkName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9./_-]*$`)
	dotted    = regexp.MustCompile(`^[0-9.]+$`)
)

// validHost tells whether s is an IP address a host can have, or a name: DNS's
// or one that ssh_config knows, which may have underscores.
func validHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return !ip.IsUnspecified() && !ip.IsMulticast()
	}
	// Digits and dots that are no address are a slip, not a name.
	return !dotted.MatchString(s) && hasLabels(strings.TrimSuffix(s, "."), hostLabel)
}

// validName tells whether s is a name Kubernetes could give a node.
func validName(s string) bool { return hasLabels(s, dnsLabel) }

func hasLabels(s string, label *regexp.Regexp) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if !label.MatchString(part) {
			return false
		}
	}
	return true
}

// choices lists what a value of an enumerated type may be, and what such a
// value is called. No values: the type is not enumerated.
func choices(t reflect.Type) (noun string, values []string) {
	switch t {
	case reflect.TypeFor[cluster.Role]():
		return "a role", []string{string(cluster.ControlPlane), string(cluster.Worker), string(cluster.EtcdHost)}
	case reflect.TypeFor[WorkerHops]():
		return "a way for workers", []string{string(EachHop), string(Fewest)}
	case reflect.TypeFor[Manager]():
		return "a package manager", []string{string(APT), string(DNF), string(Binaries)}
	case reflect.TypeFor[SudoMode]():
		return "a sudo mode", []string{string(SudoAuto), string(SudoNoPasswd), string(SudoPassword), string(SudoNone)}
	case reflect.TypeFor[Topology]():
		return "an etcd topology", []string{string(Stacked), string(External)}
	}
	return "", nil
}
