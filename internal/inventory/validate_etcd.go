package inventory

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"

	"github.com/kup-project/kup/pkg/cluster"
)

var unitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@-]*\.service$`)

// etcd checks what is said of an external etcd, and that nothing is said of a stacked one.
func (c *checker) etcd() *Error {
	e := &c.inv.Etcd
	if e.Topology != External {
		for _, field := range []string{"etcd.members", "etcd.binaries"} {
			if _, given := c.at[field]; given {
				return c.fail(field, "is for topology: external only, and the topology is "+string(e.Topology), "remove it, or set topology: external")
			}
		}
		return nil
	}
	if bad := c.template("etcd.binaries.url", e.Binaries.URL, []string{"{version}"}, []string{"{arch}"}); bad != nil {
		return bad
	}
	if bad := c.template("etcd.binaries.checksumURL", e.Binaries.ChecksumURL, []string{"{version}"}, []string{"{arch}"}); bad != nil {
		return bad
	}
	seen := map[string]bool{}
	for i := range e.Members {
		m := &e.Members[i]
		at := fmt.Sprintf("etcd.members[%d]", i)
		hosts := c.etcdHosts()
		if !slices.Contains(hosts, m.Node) {
			fix := "add it to nodes with role: etcd"
			if near := nearest(m.Node, hosts); len(near) == 1 {
				fix = "did you mean " + near[0] + "?"
			}
			return c.fail(at+".node", quoted(m.Node)+" is not a node of role etcd", fix)
		}
		if seen[m.Node] {
			return c.fail(at+".node", quoted(m.Node)+" is listed twice", "remove one: a host has one member")
		}
		seen[m.Node] = true
		if bad := c.etcdMember(at, m); bad != nil {
			return bad
		}
	}
	return nil
}

func (c *checker) etcdHosts() []string {
	var out []string
	for _, n := range c.inv.Nodes {
		if n.Role == cluster.EtcdHost {
			out = append(out, n.Name)
		}
	}
	return out
}

func (c *checker) etcdMember(at string, m *EtcdMember) *Error {
	if !unitName.MatchString(m.Unit) {
		return c.fail(at+".unit", quoted(m.Unit)+" is not a unit of systemd", "write its whole name, such as etcd.service")
	}
	host, port, err := net.SplitHostPort(m.Endpoint)
	if number, bad := strconv.Atoi(port); err != nil || !validHost(host) || bad != nil || number < 1 || number > 65535 {
		return c.fail(at+".endpoint", quoted(m.Endpoint)+" is not host:port", "write where the member serves clients, such as 127.0.0.1:2379, without https://")
	}
	type file struct{ at, path string }
	files := []file{
		{at + ".dataDirectory", m.DataDirectory},
		{at + ".certificates.ca", m.Certificates.CA}, {at + ".certificates.cert", m.Certificates.Cert}, {at + ".certificates.key", m.Certificates.Key},
	}
	for i, path := range m.Config {
		files = append(files, file{fmt.Sprintf("%s.config[%d]", at, i), path})
	}
	for _, f := range files {
		if bad := c.remotePath(f.at, f.path); bad != nil {
			return bad
		}
	}
	return nil
}

// EtcdMemberOn gives the member on a host of role etcd; false when there is none.
func (inv *Inventory) EtcdMemberOn(node string) (EtcdMember, bool) {
	for _, m := range inv.Etcd.Members {
		if m.Node == node {
			return m, true
		}
	}
	return EtcdMember{}, false
}
