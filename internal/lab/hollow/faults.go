package hollow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/lab/hollow/machine/debian"
	"github.com/kup-project/kup/internal/lab/hollow/sshd"
	"github.com/kup-project/kup/pkg/cluster"
)

// Fault is something to break, or to mend, by name.
type Fault struct {
	Name string            `json:"name"`
	Host string            `json:"host,omitempty"`
	Args map[string]string `json:"args,omitempty"`
}

// FaultKind says what a fault is and how it is asked for.
type FaultKind struct {
	Usage string // "repository-gone HOST [minor=1.33]"
	What  string
}

// faultKind is one that can be carried out. Those about a host get it, others nil.
type faultKind struct {
	FaultKind
	inflict func(c *Cluster, h *host, args map[string]string) error
}

// Faults lists what can be broken and mended.
func Faults() []FaultKind {
	var out []FaultKind
	for _, k := range faultKinds() {
		out = append(out, k.FaultKind)
	}
	return out
}

// Inject breaks or mends something.
func (c *Cluster) Inject(f Fault) error {
	for _, k := range faultKinds() {
		words := strings.Fields(k.Usage)
		if words[0] != f.Name {
			continue
		}
		var h *host
		if slices.Contains(words, "HOST") {
			var err error
			if h, err = c.host(f.Host); err != nil {
				return fmt.Errorf("fault %s: %w", f.Name, err)
			}
		}
		if err := k.inflict(c, h, f.Args); err != nil {
			return fmt.Errorf("fault %s: %w", strings.TrimSpace(f.Name+" "+f.Host), err)
		}
		return nil
	}
	return fmt.Errorf("fault %q is unknown", f.Name)
}

// powerTimeout bounds what power faults wait for.
const powerTimeout = time.Minute

func faultKinds() []faultKind {
	return slices.Concat(networkFaults(), powerFaults(), packageFaults(), programFaults(), serverFaults())
}

func networkFaults() []faultKind {
	return []faultKind{
		{FaultKind{"cut HOST", "cut every SSH connection, once; commands go on"}, func(_ *Cluster, h *host, _ map[string]string) error {
			h.ssh.CutNow()
			return nil
		}},
		{FaultKind{"cut-on HOST line=TEXT [when=before|during|after]", "cut the connection of the next command whose line has the text in it"}, cutOn},
		{FaultKind{"hang HOST", "SSH answers nothing any more, keepalives neither"}, func(_ *Cluster, h *host, _ map[string]string) error {
			h.ssh.Hang()
			return nil
		}},
		{FaultKind{"refuse HOST", "SSH takes no new connection"}, func(_ *Cluster, h *host, _ map[string]string) error {
			h.ssh.Refuse()
			return nil
		}},
		{FaultKind{"slow HOST delay=50ms", "whatever arrives at SSH arrives later"}, func(_ *Cluster, h *host, args map[string]string) error {
			d, err := time.ParseDuration(args["delay"])
			if err == nil {
				h.ssh.Delay(d)
			}
			return err
		}},
		{FaultKind{"network-back HOST", "SSH works again"}, func(_ *Cluster, h *host, _ map[string]string) error {
			h.ssh.Restore()
			return nil
		}},
		{FaultKind{"balancer-gone", "the load balancer before the API servers is away"}, func(c *Cluster, _ *host, _ map[string]string) error {
			c.balancer.setDown(true)
			return nil
		}},
		{FaultKind{"balancer-back", "it is there again"}, func(c *Cluster, _ *host, _ map[string]string) error {
			c.balancer.setDown(false)
			return nil
		}},
	}
}

func cutOn(_ *Cluster, h *host, args map[string]string) error {
	moments := map[string]sshd.When{"": sshd.During, "before": sshd.Before, "during": sshd.During, "after": sshd.After}
	when, ok := moments[args["when"]]
	if !ok || args["line"] == "" {
		return errors.New("say line=TEXT, and when=before, during or after")
	}
	h.ssh.CutOn(func(line string) bool { return strings.Contains(line, args["line"]) }, when)
	return nil
}

func powerFaults() []faultKind {
	bounded := func(do func(ctx context.Context, h *host) error) func(*Cluster, *host, map[string]string) error {
		return func(_ *Cluster, h *host, _ map[string]string) error {
			ctx, cancel := context.WithTimeout(context.Background(), powerTimeout)
			defer cancel()
			return do(ctx, h)
		}
	}
	return []faultKind{
		{FaultKind{"power-off HOST", "cut the power"}, bounded(func(ctx context.Context, h *host) error { return h.powerOff(ctx) })},
		{FaultKind{"power-on HOST", "boot the host"}, bounded(func(_ context.Context, h *host) error { return h.powerOn() })},
		{FaultKind{"reboot HOST", "shut the host down and boot it again"}, bounded(func(ctx context.Context, h *host) error {
			h.ssh.Refuse()
			h.ssh.CutNow()
			defer h.ssh.Restore()
			return h.machine.Reboot(ctx)
		})},
		{FaultKind{"clock HOST skew=1h", "set the host's clock ahead, or behind"}, func(_ *Cluster, h *host, args map[string]string) error {
			d, err := time.ParseDuration(args["skew"])
			if err == nil {
				h.machine.SkewClock(d)
			}
			return err
		}},
		{FaultKind{"disk HOST [free=1000000]", "leave so many bytes on the host's disk; without: all it had"}, func(_ *Cluster, h *host, args map[string]string) error {
			free := int64(-1)
			if text := args["free"]; text != "" {
				var err error
				if free, err = strconv.ParseInt(text, 10, 64); err != nil {
					return err
				}
			}
			h.machine.FillDisk(free)
			return nil
		}},
	}
}

func packageFaults() []faultKind {
	return []faultKind{
		{FaultKind{"repository-gone HOST [minor=1.33]", "the host cannot reach the package repository"}, func(_ *Cluster, h *host, args map[string]string) error {
			h.machine.FailRepository(args["minor"], debian.Unreachable)
			return nil
		}},
		{FaultKind{"repository-404 HOST [minor=1.33]", "the package repository has nothing for the host"}, func(_ *Cluster, h *host, args map[string]string) error {
			h.machine.FailRepository(args["minor"], debian.NotFound)
			return nil
		}},
		{FaultKind{"repository-back HOST [minor=1.33]", "the repository is there again"}, func(_ *Cluster, h *host, args map[string]string) error {
			h.machine.FailRepository(args["minor"], debian.Unreachable)()
			return nil
		}},
		{FaultKind{"images-gone HOST [image=REFERENCE]", "the host cannot pull"}, func(_ *Cluster, h *host, args map[string]string) error {
			h.machine.FailRegistry(args["image"])
			return nil
		}},
		{FaultKind{"images-back HOST [image=REFERENCE]", "it can again"}, func(_ *Cluster, h *host, args map[string]string) error {
			h.machine.FailRegistry(args["image"])()
			return nil
		}},
		{FaultKind{"kubelet-sick HOST version=v1.34.4", "that kubelet never becomes ready there"}, func(_ *Cluster, h *host, args map[string]string) error {
			_, err := sickKubelet(h, args)
			return err
		}},
		{FaultKind{"kubelet-well HOST version=v1.34.4", "it does"}, func(_ *Cluster, h *host, args map[string]string) error {
			heal, err := sickKubelet(h, args)
			if err == nil {
				heal()
			}
			return err
		}},
	}
}

// programFaults are programs that do not run at all.
func programFaults() []faultKind {
	return []faultKind{
		{FaultKind{"crash HOST program=kubelet|kube-apiserver|etcd version=VERSION", "that program of that version ends as soon as it starts, again and again"}, func(_ *Cluster, h *host, args map[string]string) error {
			_, err := crashing(h, args)
			return err
		}},
		{FaultKind{"crash-over HOST program=kubelet|kube-apiserver|etcd version=VERSION", "it does not"}, func(_ *Cluster, h *host, args map[string]string) error {
			heal, err := crashing(h, args)
			if err == nil {
				heal()
			}
			return err
		}},
	}
}

func crashing(h *host, args map[string]string) (heal func(), err error) {
	v, err := cluster.ParseVersion(args["version"])
	switch program := args["program"]; {
	case err != nil:
		return nil, err
	case program == "kubelet":
		return h.machine.CrashKubelet(v), nil
	case !h.isControlPlane():
		return nil, errors.New("no control plane")
	case program == "etcd":
		return h.machine.CrashStatic(program, v.Bare()), nil
	case program == "kube-apiserver":
		return h.machine.CrashStatic(program, v.String()), nil
	default:
		return nil, fmt.Errorf("program %q is not modelled", program)
	}
}

func sickKubelet(h *host, args map[string]string) (heal func(), err error) {
	v, err := cluster.ParseVersion(args["version"])
	if err != nil {
		return nil, err
	}
	return h.machine.BreakKubelet(v), nil
}

func serverFaults() []faultKind {
	member := func(do func(c *Cluster, name string) error) func(*Cluster, *host, map[string]string) error {
		return func(c *Cluster, h *host, _ map[string]string) error {
			if !h.isControlPlane() {
				return errors.New("no control plane")
			}
			return do(c, h.Name)
		}
	}
	return []faultKind{
		{FaultKind{"etcd-pause HOST", "the member hangs"}, member(func(c *Cluster, name string) error {
			c.etcd.Member(name).Pause()
			return nil
		})},
		{FaultKind{"etcd-resume HOST", "it goes on"}, member(func(c *Cluster, name string) error {
			c.etcd.Member(name).Resume()
			return nil
		})},
		{FaultKind{"etcd-differs HOST", "the member, started anew, stores something else than the others"}, member(func(c *Cluster, name string) error {
			ctx, cancel := context.WithTimeout(context.Background(), powerTimeout)
			defer cancel()
			return c.etcd.Member(name).Corrupt(ctx)
		})},
		{FaultKind{"apiserver-gone HOST", "the API server takes no connection"}, member(func(c *Cluster, name string) error {
			return c.servers[name].hide(true)
		})},
		{FaultKind{"apiserver-dead HOST", "the API server takes no connection until its host starts it anew"}, member(func(c *Cluster, name string) error {
			return c.servers[name].die()
		})},
		{FaultKind{"apiserver-back HOST", "it does again"}, member(func(c *Cluster, name string) error {
			return c.servers[name].hide(false)
		})},
	}
}
