package inventory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// resolve makes every path on the operator's machine absolute.
func (c *checker) resolve(dir string) *Error {
	r := resolver{dir: dir}
	r.path("cluster.kubeconfig", &c.inv.Cluster.Kubeconfig)
	r.path("snapshots.directory", &c.inv.Snapshots.Directory)
	r.path("snapshots.recipientsFile", &c.inv.Snapshots.RecipientsFile)
	r.path("snapshots.second.directory", &c.inv.Snapshots.Second.Directory)
	r.path("snapshots.second.s3.credentialsFile", &c.inv.Snapshots.Second.S3.CredentialsFile)
	r.ssh("ssh", &c.inv.SSH)
	for i := range c.inv.Nodes {
		r.ssh(fmt.Sprintf("nodes[%d].ssh", i), &c.inv.Nodes[i].SSH)
	}
	if r.problem == "" {
		return nil
	}
	return c.fail(r.at, r.problem, r.fix)
}

// resolver resolves paths until one of them cannot be.
type resolver struct {
	dir              string
	at, problem, fix string
}

func (r *resolver) ssh(at string, s *SSH) {
	for i := range s.Identities {
		r.path(fmt.Sprintf("%s.identities[%d]", at, i), &s.Identities[i])
	}
	for i := range s.KnownHosts {
		r.path(fmt.Sprintf("%s.knownHosts[%d]", at, i), &s.KnownHosts[i])
	}
	if s.Config != None {
		r.path(at+".config", &s.Config)
	}
	r.path(at+".sudo.passwordFile", &s.Sudo.PasswordFile)
}

func (r *resolver) path(at string, p *string) {
	if *p == "" || r.problem != "" {
		return
	}
	rest, tilde := strings.CutPrefix(*p, "~")
	switch {
	case tilde && rest != "" && rest[0] != '/':
		r.at, r.problem, r.fix = at, quoted(*p)+" names another user's home", "write the path out"
	case tilde:
		home, err := os.UserHomeDir()
		if err != nil {
			r.at, r.problem, r.fix = at, quoted(*p)+" needs a home directory, and there is none", "set $HOME or write the path out"
			return
		}
		*p = filepath.Join(home, rest)
	case filepath.IsAbs(*p):
		*p = filepath.Clean(*p)
	default:
		*p = filepath.Join(r.dir, *p)
	}
}

// checkPasswordFiles looks at the password files before anything asks for a
// password in the middle of a run. They are not opened.
func checkPasswordFiles(inv *Inventory, at map[string]position) *Error {
	c := checker{inv: inv, at: at}
	if bad := c.passwordFile("ssh.sudo.passwordFile", inv.SSH.Sudo.PasswordFile); bad != nil {
		return bad
	}
	for i := range inv.Nodes {
		path := fmt.Sprintf("nodes[%d].ssh.sudo.passwordFile", i)
		if bad := c.passwordFile(path, inv.Nodes[i].SSH.Sudo.PasswordFile); bad != nil {
			return bad
		}
	}
	return nil
}

func (c *checker) passwordFile(at, file string) *Error {
	if file == "" {
		return nil
	}
	info, err := os.Stat(file)
	var bad *Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		bad = c.fail(at, file+" does not exist", "create it with mode 0600, or remove the field to be asked")
	case err != nil:
		bad = c.fail(at, file+" cannot be looked at: "+reason(err), "check its directory's permissions")
	case !info.Mode().IsRegular():
		bad = c.fail(at, file+" is not a file", "name a file that holds the password")
	case info.Mode().Perm()&0o077 != 0:
		bad = c.fail(at, fmt.Sprintf("%s can be read by others (mode %04o)", file, info.Mode().Perm()), "chmod 600 "+shellWord(file))
	}
	if bad != nil {
		bad.cause = err
	}
	return bad
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9/._@+-]+$`)

// shellWord quotes a path so that it can be pasted into a shell.
func shellWord(s string) string {
	if shellSafe.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
