package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// NoBastion as the bastions of a host means: connect directly.
const NoBastion = "none"

// maxBastions bounds a chain of jump hosts, which may refer to each other.
const maxBastions = 8

// ClientConfig is an OpenSSH client configuration. HostName, User, Port,
// IdentityFile, IdentitiesOnly, ProxyJump, UserKnownHostsFile and
// GlobalKnownHostsFile are honoured; ProxyCommand is refused, everything else is ignored.
//
// Hosts that one of it resolved share the identities they opened and the known_hosts
// files they read.
type ClientConfig struct {
	path   string
	file   *ssh_config.Config
	shared *shared
}

// LoadClientConfig reads an OpenSSH client configuration, ~/.ssh/config as a
// rule. A file that does not exist, and the path "", give an empty one.
func LoadClientConfig(path string) (*ClientConfig, error) {
	if path == "" {
		return &ClientConfig{shared: newShared()}, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &ClientConfig{path: path, shared: newShared()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("SSH configuration: %w", err)
	}
	file, err := ssh_config.DecodeBytes(content)
	if err != nil {
		return nil, fmt.Errorf("SSH configuration %s: %w; name another file in ssh.config, or none to ignore it", path, err)
	}
	return &ClientConfig{path: path, file: file, shared: newShared()}, nil
}

// Resolve completes cfg. What it says wins; what is empty comes from the client
// configuration's entry for cfg.Address, then from OpenSSH's defaults. bastions is
// "user@host:port[,user@host:port...]", outermost first; empty: as ProxyJump
// says; [NoBastion]: none. A bastion is looked up the same way and otherwise
// inherits from cfg.
func (c *ClientConfig) Resolve(cfg Config, bastions string) (Config, error) {
	if cfg.Name == "" {
		cfg.Name = cfg.Address
	}
	out, jump, err := c.complete(cfg)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", cfg.Name, err)
	}
	out.shared = c.shared
	if bastions == "" {
		bastions = jump
	}
	if out.Bastions, err = c.bastions(cfg, bastions, 0); err != nil {
		return Config{}, fmt.Errorf("%s: %w", cfg.Name, err)
	}
	return out, nil
}

// complete resolves one host, and gives its ProxyJump.
func (c *ClientConfig) complete(cfg Config) (Config, string, error) {
	alias := cfg.Address
	if c.get(alias, "ProxyCommand") != "" && !strings.EqualFold(c.get(alias, "ProxyCommand"), "none") && c.get(alias, "ProxyJump") == "" {
		return cfg, "", fmt.Errorf("%s sets ProxyCommand for %s, which kup does not run; name the bastion in ssh.bastion or with ProxyJump", c.path, alias)
	}
	local, err := localUser()
	if err != nil {
		return cfg, "", err
	}
	if v := c.get(alias, "HostName"); v != "" {
		cfg.Address = strings.NewReplacer("%%", "%", "%h", alias).Replace(v)
	}
	if v := c.get(alias, "Port"); cfg.Port == 0 && v != "" {
		if cfg.Port, err = port(v); err != nil {
			return cfg, "", fmt.Errorf("%s: Port of %s: %w", c.path, alias, err)
		}
	}
	if cfg.Port == 0 {
		cfg.Port = 22
	}
	if cfg.User == "" {
		cfg.User = c.get(alias, "User")
	}
	if cfg.User == "" {
		cfg.User = local.Username
	}
	x := expander{home: local.HomeDir, tokens: strings.NewReplacer("%%", "%", "%d", local.HomeDir, "%u", local.Username,
		"%h", cfg.Address, "%n", alias, "%r", cfg.User, "%p", strconv.Itoa(cfg.Port))}
	if strings.EqualFold(c.get(alias, "IdentitiesOnly"), "yes") {
		cfg.IdentitiesOnly = true
	}
	if len(cfg.Identities) == 0 {
		cfg.Identities = c.identities(alias, x)
	}
	if len(cfg.KnownHosts) == 0 {
		cfg.KnownHosts = c.knownHosts(alias, x)
	}
	jump := strings.NewReplacer("%%", "%", "%h", cfg.Address, "%n", alias, "%r", cfg.User, "%p", strconv.Itoa(cfg.Port)).Replace(c.get(alias, "ProxyJump"))
	return cfg, jump, nil
}

func (c *ClientConfig) identities(alias string, x expander) []string {
	var files []string
	for _, v := range c.all(alias, "IdentityFile") {
		if f := x.path(unquote(v)); !strings.EqualFold(f, "none") && !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	if len(c.all(alias, "IdentityFile")) > 0 {
		return files
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		f := filepath.Join(x.home, ".ssh", name)
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		}
	}
	return files
}

// knownHosts are the user's files and the machine's: as with OpenSSH, naming other
// files of the user does not take the machine's away, nor the keys revoked there.
func (c *ClientConfig) knownHosts(alias string, x expander) []string {
	read := func(key string, usual ...string) []string {
		named := fields(c.raw(alias, key))
		if len(named) == 0 {
			return usual
		}
		var files []string
		for _, f := range named {
			if !strings.EqualFold(f, "none") {
				files = append(files, x.path(f))
			}
		}
		return files
	}
	ssh := filepath.Join(x.home, ".ssh")
	return append(read("UserKnownHostsFile", filepath.Join(ssh, "known_hosts"), filepath.Join(ssh, "known_hosts2")),
		read("GlobalKnownHostsFile", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")...)
}

// bastions resolves a chain. As with OpenSSH, the first of them may itself stand
// behind a ProxyJump.
func (c *ClientConfig) bastions(inherit Config, chain string, depth int) ([]Config, error) {
	if chain == "" || strings.EqualFold(chain, NoBastion) {
		return nil, nil
	}
	var out []Config
	for i, spec := range strings.Split(chain, ",") {
		b, err := parseBastion(spec)
		if err != nil {
			return nil, err
		}
		explicit := b.User != ""
		b.Name = "bastion " + b.Address
		b.Identities, b.Agent, b.IdentitiesOnly, b.KnownHosts = inherit.Identities, inherit.Agent, inherit.IdentitiesOnly, inherit.KnownHosts
		b.Passphrase, b.ConnectTimeout, b.Keepalive = inherit.Passphrase, inherit.ConnectTimeout, inherit.Keepalive
		if !explicit && c.get(b.Address, "User") == "" {
			b.User = inherit.User
		}
		b, jump, err := c.complete(b)
		if err != nil {
			return nil, err
		}
		if i == 0 && jump != "" {
			if depth == maxBastions {
				return nil, fmt.Errorf("%s: the ProxyJump of %s leads in a circle", c.path, b.Address)
			}
			if out, err = c.bastions(inherit, jump, depth+1); err != nil {
				return nil, err
			}
		}
		out = append(out, b)
	}
	if len(out) > maxBastions {
		return nil, fmt.Errorf("a chain of %d bastions; at most %d are possible", len(out), maxBastions)
	}
	return out, nil
}

// parseBastion reads "[user@]host[:port]", with or without "ssh://" before it.
func parseBastion(spec string) (Config, error) {
	var c Config
	rest := strings.TrimPrefix(strings.TrimSpace(spec), "ssh://")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		c.User, rest = rest[:i], rest[i+1:]
	}
	c.Address = strings.Trim(rest, "[]")
	if host, p, err := net.SplitHostPort(rest); err == nil {
		c.Address = host
		if c.Port, err = port(p); err != nil {
			return c, fmt.Errorf("bastion %q: %w", spec, err)
		}
	}
	if c.Address == "" || strings.ContainsAny(c.Address, " /") || strings.HasPrefix(c.Address, "-") {
		return c, fmt.Errorf("bastion %q: write user@host:port", spec)
	}
	return c, nil
}

func port(s string) (int, error) {
	p, err := strconv.ParseUint(s, 10, 16)
	if err != nil || p == 0 {
		return 0, fmt.Errorf("%q is no port", s)
	}
	return int(p), nil
}

func (c *ClientConfig) get(alias, key string) string { return unquote(c.raw(alias, key)) }

func (c *ClientConfig) raw(alias, key string) string {
	if c.file == nil {
		return ""
	}
	v, err := c.file.Get(alias, key)
	if err != nil {
		return ""
	}
	return v
}

func (c *ClientConfig) all(alias, key string) []string {
	if c.file == nil {
		return nil
	}
	v, err := c.file.GetAll(alias, key)
	if err != nil {
		return nil
	}
	return v
}

func unquote(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' && strings.Count(s, `"`) == 2 {
		return s[1 : len(s)-1]
	}
	return s
}

// fields splits a list of words, of which some may be in double quotes.
func fields(s string) []string {
	var out []string
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// expander fills in what OpenSSH allows in the name of a file.
type expander struct {
	home   string
	tokens *strings.Replacer
}

func (x expander) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		p = filepath.Join(x.home, rest)
	}
	return os.Expand(x.tokens.Replace(p), func(name string) string { return os.Getenv(name) })
}

// localUser is who runs this program, with the home directory the environment says.
func localUser() (*user.User, error) {
	u, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("who runs this: %w", err)
	}
	if home, err := os.UserHomeDir(); err == nil {
		u.HomeDir = home
	}
	return u, nil
}
