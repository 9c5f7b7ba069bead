package survey

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kup-project/kup/pkg/cluster"
	"sigs.k8s.io/yaml"
)

const kubeletConfigPath = "/var/lib/kubelet/config.yaml"

// edits finds the files of one host that differ from what the kubeadm installed
// there would write now. kubeadm itself writes them anew, aside, with the
// patches that upgrades will be given.
type edits struct {
	node           *cluster.Node
	found          *sight
	config         string // kubeadm's ClusterConfiguration
	clusterVersion cluster.Version
	patches        string
	compared       *compared // with what other hosts have
}

// find gives the edits, or the reason why they could not be told from what
// another kubeadm wrote.
func (e *edits) find(ctx context.Context, v *visit) ([]cluster.HandEdit, string, error) {
	if reason := e.incomparable(); reason != "" {
		return nil, reason, nil
	}
	var output string
	var err error
	if e.node.Role == cluster.ControlPlane {
		var config string
		if config, err = e.initConfiguration(); err == nil {
			output, err = script(ctx, v.host, editsScript, strings.NewReader(config), e.patches)
		}
	} else {
		output, err = v.script(ctx, "edits", editsScript, e.patches)
	}
	if err != nil {
		return nil, "", err
	}
	return e.compare(parts(output))
}

// incomparable tells why the files must differ: they come from a kubeadm of
// another minor than the one installed, as they do in the middle of a hop.
func (e *edits) incomparable() string {
	const so = "; whether files were edited by hand cannot be told in between"
	kubeadm := e.found.host.Kubeadm
	if kubeadm.IsZero() {
		return "kubeadm is not installed, so that files edited by hand were not looked for"
	}
	line := kubeadm.Line()
	if e.node.Role == cluster.ControlPlane {
		if runs := e.apiServerVersion(); runs.Line() != line {
			return fmt.Sprintf("kubeadm is %s and the API server %s%s", kubeadm, orUnknown(runs), so)
		}
	}
	if e.clusterVersion.Line() != line || e.node.Kubelet.Line() != line {
		return fmt.Sprintf("kubeadm is %s, the kubelet %s and kubeadm's configuration for %s%s", kubeadm, orUnknown(e.node.Kubelet), orUnknown(e.clusterVersion), so)
	}
	return ""
}

func (e *edits) apiServerVersion() cluster.Version {
	return versionIn(tagOf(e.found.apiServer.image))
}

// initConfiguration is what makes `kubeadm init` write this node's manifests:
// the cluster's configuration, with the versions that run here, which may be
// behind it or pinned.
func (e *edits) initConfiguration() (string, error) {
	unreadable := fmt.Errorf("kubeadm's ClusterConfiguration is not as expected; see kubectl -n kube-system get configmap kubeadm-config -o yaml")
	var config map[string]any
	if err := yaml.Unmarshal([]byte(e.config), &config); err != nil || config == nil {
		return "", unreadable // the parser would quote it
	}
	config["kubernetesVersion"] = e.apiServerVersion().String()
	if etcd, ok := config["etcd"].(map[string]any); ok {
		if local, ok := etcd["local"].(map[string]any); ok && e.found.etcdImage != "" {
			local["imageTag"] = tagOf(e.found.etcdImage)
		}
	}
	address, port, err := e.found.apiServer.localEndpoint()
	if err != nil {
		return "", err
	}
	node := map[string]any{"name": e.node.Name}
	if e.node.CRISocket != "" {
		node["criSocket"] = e.node.CRISocket
	}
	own := map[string]any{
		"apiVersion": config["apiVersion"], "kind": "InitConfiguration",
		"localAPIEndpoint": map[string]any{"advertiseAddress": address, "bindPort": port},
		"nodeRegistration": node,
	}
	if e.found.host.PatchesPresent {
		own["patches"] = map[string]any{"directory": e.patches} // kubeadm refuses the flag beside a configuration
	}
	first, err := yaml.Marshal(own)
	if err != nil {
		return "", unreadable
	}
	second, err := yaml.Marshal(config)
	if err != nil {
		return "", unreadable
	}
	return string(first) + "---\n" + string(second), nil
}

// localEndpoint is where the API server of the node answers: kubeadm notes it
// in an annotation.
func (m manifest) localEndpoint() (string, int, error) {
	address, port, err := net.SplitHostPort(m.endpoint)
	if err != nil {
		address, port = m.address, m.port
	}
	n, err := strconv.Atoi(port)
	if err != nil || net.ParseIP(address) == nil {
		return "", 0, fmt.Errorf("the API server's manifest does not tell its address and port")
	}
	return address, n, nil
}

// compare gives the differences between what is there and what should be.
func (e *edits) compare(p map[string]string) ([]cluster.HandEdit, string, error) {
	var out []cluster.HandEdit
	var blind []string
	reason := e.etcdInBetween(p["etcd-default"])
	if reason != "" {
		delete(p, "have etcd")
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubelet"} {
		have, there := p["have "+name]
		if !there {
			continue
		}
		want := p["want "+name]
		if want == "" {
			blind = append(blind, name)
			continue
		}
		differ, err := e.compared.differing(name, have, want, p["instance"])
		if err != nil {
			return nil, "", fmt.Errorf("%s of %s: %w", name, e.node.Name, err)
		}
		if len(differ) > 0 {
			path := "/etc/kubernetes/manifests/" + name + ".yaml"
			if name == "kubelet" {
				path = kubeletConfigPath
			}
			out = append(out, cluster.HandEdit{Path: path, What: strings.Join(differ, ", ")})
		}
	}
	if len(blind) == 0 {
		return out, reason, nil
	}
	reason = fmt.Sprintf("kubeadm did not say what it would write for %s, so that these files were not compared", strings.Join(blind, ", "))
	return out, reason + whyBlind(p, blind), nil
}

// etcdInBetween tells why etcd's manifest must differ although the API server's
// need not: a hop upgrades etcd last, and until then the manifest is that of the
// kubeadm before. Default is the tag that the installed kubeadm deploys; an etcd
// that was pinned above it was written by this kubeadm.
func (e *edits) etcdInBetween(deploys string) string {
	runs, newest := etcdTag(tagOf(e.found.etcdImage)), etcdTag(strings.TrimSpace(deploys))
	if runs.IsZero() || newest.IsZero() || !runs.Less(newest) {
		return ""
	}
	return fmt.Sprintf("etcd is %s, and the kubeadm installed deploys %s; whether its manifest was edited by hand cannot be told in between", runs, newest)
}

// etcdTag reads 3.6.5-0; zero when it is no release.
func etcdTag(tag string) cluster.Version {
	bare, _, _ := strings.Cut(tag, "-")
	v, err := cluster.ParseVersion(bare)
	if err != nil {
		return cluster.Version{}
	}
	return v
}

// whyBlind tells of an unknown flag, and else how to see why.
func whyBlind(p map[string]string, blind []string) string {
	for _, stage := range []string{"control-plane", "etcd", "kubelet"} {
		if why := p["failed "+stage]; why != "" {
			return " (" + why + ")"
		}
	}
	if slices.Contains(blind, "kubelet") {
		return "; see there: kubeadm upgrade node phase kubelet-config --dry-run"
	}
	return "; see there: kubeadm upgrade diff"
}

// tagOf gives the tag of an image.
func tagOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return tag
}

func orUnknown(v cluster.Version) string {
	if v.IsZero() {
		return "of unknown version"
	}
	return v.String()
}

// compared are the files that were compared before: workers have the same ones, and to
// read YAML costs more than all else that is done with what a host said.
type compared struct {
	mutex sync.Mutex
	known map[[4]string]difference
}

// difference is what [differing] gave.
type difference struct {
	names []string
	err   error
}

// differing is [differing], which it asks once for the same documents.
func (c *compared) differing(name, have, want, instance string) ([]string, error) {
	key := [4]string{name, have, want, instance}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	d, known := c.known[key]
	if !known {
		d.names, d.err = differing(name, have, want, instance)
		if len(c.known) < mostCompared {
			c.known[key] = d
		}
	}
	return d.names, d.err
}

// mostCompared bounds what is remembered, for a cluster where every host is another.
const mostCompared = 64

// differing names what differs between two YAML documents, never a value.
func differing(name, have, want, instance string) ([]string, error) {
	is, err := document("it", have)
	if err != nil {
		return nil, err
	}
	should, err := document("what kubeadm would write", want)
	if err != nil {
		return nil, err
	}
	if name == "kubelet" {
		own, err := document("instance-config.yaml", instance)
		if err != nil {
			return nil, err
		}
		withInstance(is, should, own)
	}
	var d differences
	d.values(nil, is, should)
	slices.Sort(d.names)
	return slices.Compact(d.names), nil
}

// document reads YAML without the fields that nobody writes by hand.
func document(what, text string) (map[string]any, error) {
	var out map[string]any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("%s is not YAML", what) // the parser would quote it
	}
	delete(out, "status")
	if meta, ok := out["metadata"].(map[string]any); ok {
		delete(meta, "creationTimestamp")
	}
	return out, nil
}

// withInstance does what kubeadm leaves out of its dry run: it puts the node's
// own kubelet settings over the cluster's. Without them the dry run makes up the
// runtime's socket, which then says nothing.
func withInstance(have, want, own map[string]any) {
	const socket = "containerRuntimeEndpoint"
	if len(own) == 0 {
		delete(have, socket)
		delete(want, socket)
	}
	overlay(want, own)
}

// overlay puts one document over another, field by field.
func overlay(under, over map[string]any) {
	for key, value := range over {
		below, isMap := under[key].(map[string]any)
		above, alsoMap := value.(map[string]any)
		if isMap && alsoMap {
			overlay(below, above)
		} else {
			under[key] = value
		}
	}
}
