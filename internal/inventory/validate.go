package inventory

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

// checker finds the first thing in an inventory that cannot be meant.
type checker struct {
	inv *Inventory
	at  map[string]position
}

// fail places the problem at the field, or at the nearest thing around it that
// is written in the file.
func (c *checker) fail(field, problem, fix string) *Error {
	for around := field; around != ""; {
		if p, ok := c.at[around]; ok {
			return &Error{Line: p.line, Column: p.column, Path: field, Problem: problem, Fix: fix}
		}
		around = around[:max(0, strings.LastIndexAny(around, ".["))]
	}
	return &Error{Path: field, Problem: problem, Fix: fix}
}

func (c *checker) check() *Error {
	for _, f := range []func() *Error{
		func() *Error { return c.ssh("ssh", &c.inv.SSH) },
		c.nodes, c.etcd, c.pools, c.membership, c.packages, c.kubeadm, c.loadBalancer, c.addons, c.snapshots, c.gates,
	} {
		if bad := f(); bad != nil {
			return bad
		}
	}
	return nil
}

func (c *checker) positive(field string, d time.Duration, example string) *Error {
	if d > 0 {
		return nil
	}
	return c.fail(field, d.String()+" is not a time to wait", "use a positive duration, such as "+example)
}

func (c *checker) ssh(at string, s *SSH) *Error {
	if _, given := c.at[at+".port"]; given && (s.Port < 1 || s.Port > 65535) {
		return c.fail(at+".port", fmt.Sprintf("%d is not a port", s.Port), "use 1 to 65535, such as 22")
	}
	if s.User != "" && !userName.MatchString(s.User) {
		return c.fail(at+".user", quoted(s.User)+" is not a user name", "use a login name, such as ops")
	}
	if err := checkJumps(s.Bastion); err != nil {
		return c.fail(at+".bastion", err.Error(), "write user@host:port, several separated by commas, or none")
	}
	if s.Config == "" {
		return c.fail(at+".config", "is empty", "name a file, or write none to ignore ssh_config")
	}
	if bad := c.positive(at+".connectTimeout", s.ConnectTimeout, "10s"); bad != nil {
		return bad
	}
	if bad := c.positive(at+".keepalive", s.Keepalive, "15s"); bad != nil {
		return bad
	}
	return c.sudo(at+".sudo", &s.Sudo)
}

func (c *checker) sudo(at string, s *Sudo) *Error {
	if s.PasswordFile != "" && s.PasswordEnv != "" {
		return c.fail(at+".passwordEnv", "is given together with passwordFile", "keep one of the two")
	}
	if s.PasswordEnv != "" && !envName.MatchString(s.PasswordEnv) {
		// The value is not shown: it may be the password itself.
		return c.fail(at+".passwordEnv", "is not the name of an environment variable", "write the variable's name, such as SUDO_PASSWORD, without $")
	}
	return nil
}

func (c *checker) nodes() *Error {
	names, addresses := map[string]bool{}, map[string]string{}
	controlPlanes := 0
	for i := range c.inv.Nodes {
		n := &c.inv.Nodes[i]
		at := fmt.Sprintf("nodes[%d]", i)
		if !validName(n.Name) || strings.ToLower(n.Name) != n.Name {
			return c.fail(at+".name", quoted(n.Name)+" is not a node name", "write it as `kubectl get nodes` prints it")
		}
		if names[n.Name] {
			return c.fail(at+".name", quoted(n.Name)+" is listed twice", "remove one, or correct its name")
		}
		names[n.Name] = true
		if bad := c.address(at+".address", n.Address); bad != nil {
			return bad
		}
		key := fmt.Sprintf("%s %d", canonical(n.Address), n.SSH.Port)
		if other, taken := addresses[key]; taken {
			return c.fail(at+".address", fmt.Sprintf("%s is already the address of %s", quoted(n.Address), other), "correct one of the two")
		}
		addresses[key] = n.Name
		if n.Role == cluster.ControlPlane {
			controlPlanes++
		}
		if n.Role == cluster.EtcdHost && c.inv.Etcd.Topology != External {
			return c.fail(at+".role", "etcd hosts belong to an external etcd, and etcd.topology is "+string(c.inv.Etcd.Topology), "set etcd.topology: external, or correct the role")
		}
		if bad := c.ssh(at+".ssh", &n.SSH); bad != nil {
			return bad
		}
	}
	if controlPlanes == 0 {
		return c.fail("nodes", "lists no control plane", "add the nodes that run the API server with role: control-plane")
	}
	return nil
}

func (c *checker) address(at, s string) *Error {
	if validHost(s) {
		return nil
	}
	bare := s
	if _, after, ok := strings.Cut(bare, "://"); ok {
		bare = after
	}
	_, bare, user := cutLast(bare, "@")
	bare, _, _ = strings.Cut(bare, "/")
	host, _, port := splitPort(bare)
	fix := "use an IP address or a DNS name"
	if validHost(host) {
		fix = "use " + host
		if user {
			fix += "; the user goes to ssh.user"
		}
		if port {
			fix += "; the port goes to ssh.port"
		}
	}
	return c.fail(at, quoted(s)+" is not an address", fix)
}

// cutLast cuts s around the last sep; without one, all of s is after it.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// canonical writes equal addresses equally.
func canonical(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(address, "."))
}

func (c *checker) pools() *Error {
	names := map[string]bool{}
	for i := range c.inv.Pools {
		p := &c.inv.Pools[i]
		at := fmt.Sprintf("pools[%d]", i)
		if !validName(p.Name) {
			return c.fail(at+".name", quoted(p.Name)+" is not a pool name", "use letters, digits, dots and dashes")
		}
		if names[p.Name] {
			return c.fail(at+".name", quoted(p.Name)+" is listed twice", "remove one, or rename it")
		}
		names[p.Name] = true
		if bad := c.positive(at+".drain.timeout", p.Drain.Timeout, "10m"); bad != nil {
			return bad
		}
		if g := p.Drain.GracePeriod; g%time.Second != 0 || g < -time.Second {
			return c.fail(at+".drain.gracePeriod", g.String()+" is not a grace period", "use whole seconds, or -1s for the pod's own")
		}
	}
	return nil
}

// membership checks that every pool referred to exists.
func (c *checker) membership() *Error {
	var names []string
	for _, p := range c.inv.Pools {
		names = append(names, p.Name)
	}
	for i := range c.inv.Nodes {
		n := &c.inv.Nodes[i]
		at := fmt.Sprintf("nodes[%d].pool", i)
		if _, given := c.at[at]; given && n.Role == cluster.EtcdHost {
			return c.fail(at, "etcd hosts run no pods and belong to no pool", "remove it")
		}
		found := false
		for _, name := range names {
			found = found || name == n.Pool
		}
		if !found {
			fix := "add it under pools, or use " + either(names)
			if near := nearest(n.Pool, names); len(near) == 1 {
				fix = "did you mean " + near[0] + "?"
			}
			return c.fail(at, quoted(n.Pool)+" is not a pool", fix)
		}
	}
	return nil
}

func (c *checker) kubeadm() *Error {
	k := &c.inv.Kubeadm
	if k.Patches != "" {
		if bad := c.remotePath("kubeadm.patches", k.Patches); bad != nil {
			return bad
		}
	}
	if k.KeepBackups < 0 {
		return c.fail("kubeadm.keepBackups", fmt.Sprintf("%d is no number of backups", k.KeepBackups), "use 0 or more")
	}
	for i, name := range k.IgnorePreflightErrors {
		at := fmt.Sprintf("kubeadm.ignorePreflightErrors[%d]", i)
		if strings.EqualFold(name, "all") {
			return c.fail(at, quoted(name)+" would hide every error there is", "name the checks that may fail, such as SystemVerification")
		}
		if !checkName.MatchString(name) {
			return c.fail(at, quoted(name)+" is not the name of a check", "write it as kubeadm prints it in brackets, such as SystemVerification")
		}
	}
	return nil
}

func (c *checker) loadBalancer() *Error {
	lb := &c.inv.LoadBalancer
	for _, command := range []struct {
		at, other     string
		argv, partner []string
	}{
		{"loadBalancer.drain", "restore", lb.Drain, lb.Restore},
		{"loadBalancer.restore", "drain", lb.Restore, lb.Drain},
	} {
		if len(command.argv) == 0 {
			continue
		}
		if strings.TrimSpace(command.argv[0]) == "" {
			return c.fail(command.at+"[0]", "names no program", "write a list: the program, then its arguments")
		}
		if len(command.partner) == 0 {
			return c.fail(command.at, "is given without "+command.other, "give both, or none")
		}
	}
	return nil
}

func (c *checker) addons() *Error {
	if len(c.inv.Addons) == 0 {
		return nil
	}
	return c.fail("addons", "is reserved: this kup upgrades CoreDNS and kube-proxy only", "remove it and upgrade other add-ons by their own means")
}

func (c *checker) gates() *Error {
	g := &c.inv.Gates
	if g.Sustain < MinSustain {
		return c.fail("gates.sustain", g.Sustain.String()+" is too short to mean anything", "use at least 10s")
	}
	if g.Timeout <= g.Sustain {
		return c.fail("gates.timeout", fmt.Sprintf("%s is not longer than gates.sustain, %s", g.Timeout, g.Sustain), "use a longer one, such as 10m")
	}
	return nil
}

// remotePath checks a path on the nodes.
func (c *checker) remotePath(at, s string) *Error {
	if path.IsAbs(s) && path.Clean(s) == s && s != "/" && !strings.ContainsAny(s, " []\"'\\") {
		return nil
	}
	return c.fail(at, quoted(s)+" is not an absolute path on the nodes", "start with / and leave out spaces, quotes, brackets and ..")
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}|[{}]`)

// template checks a URL with placeholders: those it must have and those it may.
func (c *checker) template(at, s string, must, may []string) *Error {
	for _, m := range must {
		if !strings.Contains(s, m) {
			return c.fail(at, "does not contain "+m, "put "+m+" where it belongs in the URL")
		}
	}
	plain := s
	for _, m := range append(must, may...) {
		plain = strings.ReplaceAll(plain, m, "x")
	}
	if bad := placeholder.FindString(plain); bad != "" {
		return c.fail(at, quoted(bad)+" is not a placeholder here", "use "+either(append(must, may...)))
	}
	u, err := url.Parse(plain)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file") || (u.Host == "" && u.Scheme != "file") || strings.ContainsAny(s, " \"'\\") {
		return c.fail(at, quoted(s)+" is not a URL", "write one such as https://pkgs.k8s.io/...")
	}
	if u.User != nil {
		return c.fail(at, "holds a password or user name", "keep credentials out of kup.yaml: use the package manager's own (apt: auth.conf.d)")
	}
	return nil
}
