package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/lab/artifact"
)

// labelLab marks every container, network and volume with its lab's name.
const labelLab = "kup-lab"

const stateFile = "lab.json"

// Lab is a lab that was brought up, or was begun to be.
type Lab struct {
	dir   string
	state state
}

// state is what lab.json keeps.
type state struct {
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Ready    bool      `json:"ready"`
	Version  string    `json:"version"` // Kubernetes at the start
	Etcd     string    `json:"etcd,omitempty"`
	Served   []string  `json:"served"` // releases with packages and images
	Network  string    `json:"network"`
	Image    string    `json:"image"`
	Store    string    `json:"store"`
	Topology topology  `json:"topology"`
}

// ErrNotFound means that there is no lab of the name.
var ErrNotFound = errors.New("no such lab")

// stateRoot is $XDG_STATE_HOME/kup-lab, or ~/.local/state/kup-lab.
func stateRoot() (string, error) {
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "kup-lab"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the state directory: %w; set XDG_STATE_HOME", err)
	}
	return filepath.Join(home, ".local", "state", "kup-lab"), nil
}

func labDir(name string) (string, error) {
	if !nameRE.MatchString(name) {
		return "", fmt.Errorf("lab name %q: use 2 to 32 lower case letters, digits and dashes, a letter first", name)
	}
	root, err := stateRoot()
	return filepath.Join(root, name), err
}

// Open returns the lab of the name; ErrNotFound when there is none. A lab that
// failed half way opens too.
func Open(ctx context.Context, name string) (*Lab, error) {
	dir, err := labDir(name)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("lab %s: %w; bring it up with: kup-lab up --name %s", name, ErrNotFound, name)
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	l := &Lab{dir: dir}
	if err := json.Unmarshal(raw, &l.state); err != nil {
		return nil, fmt.Errorf("lab %s: %s: %w", name, stateFile, err)
	}
	return l, ctx.Err()
}

// List names the labs that have state on this machine.
func List() ([]string, error) {
	root, err := stateRoot()
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(root, "*", stateFile))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	for _, path := range found {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	slices.Sort(names)
	return names, nil
}

func (l *Lab) save() error {
	raw, err := json.MarshalIndent(l.state, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(l.dir, stateFile), raw, 0o600)
}

// writeFile replaces a file in one step.
func writeFile(path string, raw []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, raw, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Name is the lab's name.
func (l *Lab) Name() string { return l.state.Name }

// Dir is the lab's directory: admin.conf, kup.yaml, ssh/, sudo-password.
func (l *Lab) Dir() string { return l.dir }

// Ready says whether the lab came up wholly.
func (l *Lab) Ready() bool { return l.state.Ready }

// Version is the Kubernetes release the lab began with.
func (l *Lab) Version() string { return l.state.Version }

// Served are the Kubernetes releases with packages and images in the lab.
func (l *Lab) Served() []string { return slices.Clone(l.state.Served) }

// Nodes are the cluster's machines, control planes first.
func (l *Lab) Nodes() []Node { return slices.Clone(l.state.Topology.Nodes) }

// EtcdHosts are the hosts of an external etcd; none where etcd is on the control planes.
func (l *Lab) EtcdHosts() []Node { return slices.Clone(l.state.Topology.Etcd) }

// Kubeconfig is the path of an administrator's kubeconfig that goes through the
// load balancer.
func (l *Lab) Kubeconfig() string { return filepath.Join(l.dir, "admin.conf") }

// Inventory is the path of the kup.yaml that describes the lab.
func (l *Lab) Inventory() string { return filepath.Join(l.dir, "kup.yaml") }

// SSHConfig is the path of an ssh_config with a host entry for each node.
func (l *Lab) SSHConfig() string { return filepath.Join(l.dir, "ssh", "config") }

// LoadBalancer is the API's host and port.
func (l *Lab) LoadBalancer() string { return l.state.Topology.endpoint() }

// container is the name of a machine's container.
func (l *Lab) container(machine string) string { return containerName(l.state.Name, machine) }

func containerName(lab, machine string) string { return "kup-lab-" + lab + "-" + machine }

// Exec runs argv as root in a node's container, past SSH and sudo, and returns
// its standard output. A failure is an *ExecError with all of standard error.
func (l *Lab) Exec(ctx context.Context, node string, argv ...string) (string, error) {
	return docker(ctx, append([]string{"exec", l.container(node)}, argv...)...)
}

// ExecIn is Exec with standard input.
func (l *Lab) ExecIn(ctx context.Context, node, stdin string, argv ...string) (string, error) {
	return dockerIn(ctx, strings.NewReader(stdin), append([]string{"exec", "-i", l.container(node)}, argv...)...)
}

// kubectl runs on the first control plane against its own API server's kubeconfig.
func (l *Lab) kubectl(ctx context.Context, args ...string) (string, error) {
	first := l.state.Topology.controlPlanes()[0].Name
	return l.Exec(ctx, first, append([]string{"kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"}, args...)...)
}

// put unpacks files into a running node.
func (l *Lab) put(ctx context.Context, node string, files []nodeFile) error {
	tarball, err := archive(files)
	if err != nil {
		return err
	}
	_, err = dockerIn(ctx, tarball, "exec", "-i", l.container(node), "tar", "-xf", "-", "-C", "/", "--numeric-owner")
	return err
}

// Down removes the lab: containers, network, volumes, directory.
func (l *Lab) Down(ctx context.Context) error { return Remove(ctx, l.state.Name) }

// Remove takes the lab of the name down, however little of it exists; it does
// nothing when there is nothing.
func Remove(ctx context.Context, name string) error {
	dir, err := labDir(name)
	if err != nil {
		return err
	}
	root, err := stateRoot()
	if err != nil {
		return err
	}
	if _, err := docker(ctx, "version"); err != nil {
		if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
			return nil
		}
		if err := ensureDocker(ctx, root, func(string, ...any) {}); err != nil {
			return &StepError{Step: "reach Docker", Err: err}
		}
	}
	for _, kind := range []struct {
		what         string
		list, remove []string
	}{
		{"containers", []string{"ps", "-aq"}, []string{"rm", "-fv"}},
		{"volumes", []string{"volume", "ls", "-q"}, []string{"volume", "rm", "-f"}},
		{"network", []string{"network", "ls", "-q"}, []string{"network", "rm"}},
	} {
		ids, err := dockerLines(ctx, append(kind.list, "--filter", "label="+labelLab+"="+name)...)
		if err == nil && len(ids) > 0 {
			_, err = docker(ctx, append(kind.remove, ids...)...)
		}
		if err != nil {
			return &StepError{Step: "remove the lab's " + kind.what, Err: err}
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return &StepError{Step: "remove the lab's directory", Err: err}
	}
	left, err := List()
	if err != nil || len(left) > 0 {
		return err
	}
	return newMachine(root).restore()
}

// openStore opens the store that labs are made from.
func openStore(log *progress) (*artifact.Store, error) {
	dir, err := artifact.DefaultDir()
	if err != nil {
		return nil, err
	}
	return artifact.New(dir, log)
}

// ContainerStates maps machine names to what Docker says of their containers
// ("running", "exited").
func (l *Lab) ContainerStates(ctx context.Context) (map[string]string, error) {
	lines, err := dockerLines(ctx, "ps", "-a", "--filter", "label="+labelLab+"="+l.state.Name, "--format", "{{.Names}} {{.State}}")
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, line := range lines {
		name, state, _ := strings.Cut(line, " ")
		states[strings.TrimPrefix(name, containerName(l.state.Name, ""))] = state
	}
	return states, nil
}
