package e2e

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kup-project/kup/internal/lab/node"
)

// staticPods are the components a control-plane node runs, each also the name
// of its container and of its program.
var staticPods = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"}

var heldPackages = []string{"kubeadm", "kubelet", "kubectl"}

// hostFacts is what a node says of itself.
type hostFacts struct {
	Kubelet, Kubeadm string
	// Static maps a component to the version its running program reports.
	Static map[string]string
	Held   []string
	// Certificates maps a file to when the certificate in it expires; CAs are
	// not among them.
	Certificates map[string]time.Time
}

// askHosts asks every node itself, past kup, SSH and sudo.
func (e *env) askHosts(ctx context.Context) (map[string]hostFacts, error) {
	out := map[string]hostFacts{}
	for _, n := range e.lab.Nodes() {
		f, err := e.askHost(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("ask node %s: %w", n.Name, err)
		}
		out[n.Name] = f
	}
	for _, n := range e.lab.EtcdHosts() {
		version, err := e.externalVersion(ctx, n.Name)
		if err != nil {
			return nil, fmt.Errorf("ask host %s: %w", n.Name, err)
		}
		out[n.Name] = hostFacts{Static: map[string]string{"etcd": version}}
	}
	return out, nil
}

func (e *env) askHost(ctx context.Context, n node.Node) (hostFacts, error) {
	f := hostFacts{Static: map[string]string{}}
	text, err := e.lab.Exec(ctx, n.Name, "kubelet", "--version")
	if err != nil {
		return f, err
	}
	f.Kubelet = lastWord(text)
	if text, err = e.lab.Exec(ctx, n.Name, "kubeadm", "version", "-o", "short"); err != nil {
		return f, err
	}
	f.Kubeadm = strings.TrimSpace(text)
	if text, err = e.lab.Exec(ctx, n.Name, "apt-mark", "showhold"); err != nil {
		return f, err
	}
	f.Held = strings.Fields(text)
	if f.Certificates, err = e.certificates(ctx, n.Name); err != nil {
		return f, err
	}
	if n.Role != node.RoleControlPlane {
		return f, nil
	}
	external := len(e.lab.EtcdHosts()) > 0
	if external {
		delete(f.Certificates, "/etc/kubernetes/pki/apiserver-etcd-client.crt") // kubeadm does not renew it then
	}
	for _, name := range staticPods {
		if external && name == "etcd" {
			continue
		}
		if f.Static[name], err = e.staticVersion(ctx, n.Name, name); err != nil {
			return f, err
		}
	}
	return f, nil
}

// staticVersion runs the program in its running container.
func (e *env) staticVersion(ctx context.Context, nodeName, name string) (string, error) {
	const script = `id=$(crictl ps -q --state running --name "^$1$" | head -n 1)
[ -n "$id" ] || { echo "no running container $1" >&2; exit 1; }
exec crictl exec "$id" "$1" --version`
	text, err := e.lab.Exec(ctx, nodeName, "sh", "-c", script, "sh", name)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(text, "\n")
	return lastWord(first), nil
}

// lastWord takes "Kubernetes v1.34.4" and "etcd Version: 3.6.5" apart.
func lastWord(line string) string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

const fileMark = "=== file "

// certificates reads every certificate of /etc/kubernetes that kubeadm renews.
func (e *env) certificates(ctx context.Context, nodeName string) (map[string]time.Time, error) {
	const script = `for f in $(find /etc/kubernetes/pki -name '*.crt' 2>/dev/null) /etc/kubernetes/*.conf; do
  [ -f "$f" ] || continue
  echo "` + fileMark + `$f"; cat "$f"; echo
done`
	text, err := e.lab.Exec(ctx, nodeName, "sh", "-c", script)
	if err != nil {
		return nil, err
	}
	return parseCertificates(text)
}

func parseCertificates(text string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for part := range strings.SplitSeq(text, fileMark) {
		name, content, _ := strings.Cut(part, "\n")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		// The kubelet renews its own certificate; its kubeconfig only points there.
		if path.Base(name) == "kubelet.conf" {
			continue
		}
		raw := []byte(content)
		if strings.HasSuffix(name, ".conf") {
			var err error
			if raw, err = clientCertificate(raw); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		block, _ := pem.Decode(raw)
		if block == nil {
			return nil, fmt.Errorf("%s: no PEM block", name)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if !cert.IsCA {
			out[name] = cert.NotAfter
		}
	}
	return out, nil
}

func clientCertificate(kubeconfig []byte) ([]byte, error) {
	c, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, err
	}
	for _, user := range c.AuthInfos {
		if len(user.ClientCertificateData) > 0 {
			return user.ClientCertificateData, nil
		}
	}
	return nil, errors.New("no client certificate in it")
}

// renewal compares certificates of one node before and after.
func renewal(before, after map[string]time.Time) (renewed int, stale []string) {
	for _, file := range slices.Sorted(maps.Keys(before)) {
		now, ok := after[file]
		switch {
		case !ok:
			stale = append(stale, file+" is gone")
		case !now.After(before[file]):
			stale = append(stale, fmt.Sprintf("%s still expires at %s", file, now.UTC().Format(time.RFC3339)))
		default:
			renewed++
		}
	}
	return renewed, stale
}

// fingerprint is a node's state as far as kup could touch it: files of
// /etc/kubernetes, of the kubelet, of apt, packages and pins, kup's own traces.
// Two equal ones mean that nothing was touched.
func (e *env) fingerprint(ctx context.Context, nodeName string) (string, error) {
	const script = `find /etc/kubernetes /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/apt \
  -type f -not -name '*.lock' -exec sha256sum {} + 2>/dev/null | sort -k2
dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' kubeadm kubelet kubectl
apt-mark showhold
systemctl show kubelet -p MainPID -p ActiveEnterTimestampMonotonic
if [ -e /var/lib/kup ]; then find /var/lib/kup | sort; else echo "no /var/lib/kup"; fi`
	return e.lab.Exec(ctx, nodeName, "sh", "-c", script)
}

// untouched is what every refused command must leave behind on a node.
const untouched = "no /var/lib/kup"
