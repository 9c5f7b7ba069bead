package node

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/lab/artifact"
)

// ignoredPreflight are checks of kubeadm that cannot hold in a container.
const ignoredPreflight = "SystemVerification"

const kubeadmConfigPath = "/etc/kubernetes/kup-lab-kubeadm.yaml"

// formCluster runs kubeadm on every node: the first control plane alone, then
// the other control planes one after the other (etcd takes one new member at a
// time) while workers join beside them.
func (u *bringUp) formCluster(ctx context.Context) error {
	if err := u.startEtcd(ctx); err != nil {
		return &StepError{Step: "start the external etcd", Err: err}
	}
	t := u.lab.state.Topology
	cps := t.controlPlanes()
	first, firstCtx := errgroup.WithContext(ctx)
	first.Go(func() error {
		if err := u.initCluster(firstCtx, cps[0]); err != nil {
			return &StepError{Step: "kubeadm init", Node: cps[0].Name, Err: err}
		}
		u.log.logf("  %s: control plane is up", cps[0].Name)
		return nil
	})
	// Waiting for the first control plane leaves time to fetch the others' images.
	first.Go(func() error { return eachNode(firstCtx, t.Nodes[1:], 1, "pull images", u.pullImages) })
	if err := first.Wait(); err != nil {
		return err
	}
	if err := u.writeKubeconfig(ctx, cps[0]); err != nil {
		return &StepError{Step: "fetch admin.conf", Node: cps[0].Name, Err: err}
	}
	hash, err := u.caHash(ctx, cps[0])
	if err != nil {
		return &StepError{Step: "read the cluster's CA", Node: cps[0].Name, Err: err}
	}
	join := func(ctx context.Context, n Node) error {
		if err := u.kubeadm(ctx, n, "join", "join.yaml", map[string]any{"CAHash": hash}); err != nil {
			return &StepError{Step: "kubeadm join", Node: n.Name, Err: err}
		}
		u.log.logf("  %s: joined", n.Name)
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return eachNode(ctx, cps[1:], 1, "kubeadm join", join) })
	g.Go(func() error { return eachNode(ctx, t.workers(), 2, "kubeadm join", join) })
	return g.Wait()
}

// pullImages fetches the images that kubeadm or the kubelet will want on the node.
func (u *bringUp) pullImages(ctx context.Context, n Node) error {
	for _, ref := range imagesFor(n, u.bundles[0].Refs, u.spec.Etcd) {
		if _, err := u.lab.Exec(ctx, n.Name, "crictl", "pull", ref); err != nil {
			return err
		}
	}
	return nil
}

// imagesFor picks a node's images: workers run neither the control plane nor
// etcd, and of two etcd versions the one the cluster starts with counts.
func imagesFor(n Node, refs []string, etcd string) []string {
	var out []string
	for _, ref := range refs {
		name := ref[strings.LastIndexByte(ref, '/')+1:]
		worker := strings.HasPrefix(name, "kube-proxy:") || strings.HasPrefix(name, "pause:") || strings.HasPrefix(name, "coredns:")
		otherEtcd := strings.HasPrefix(name, "etcd:") && etcd != "" && !strings.HasPrefix(name, "etcd:"+etcd+"-")
		if (worker || n.Role == RoleControlPlane) && !otherEtcd {
			out = append(out, ref)
		}
	}
	return out
}

func (u *bringUp) initCluster(ctx context.Context, n Node) error {
	v2, err := u.cgroupV2(ctx)
	if err != nil {
		return err
	}
	driver := "cgroupfs"
	if v2 {
		driver = "systemd"
	}
	tag := ""
	if u.spec.Etcd != "" {
		tag = u.spec.Etcd + "-0"
	}
	return u.kubeadm(ctx, n, "init", "init.yaml", map[string]any{
		"Cluster": u.spec.Name, "Version": u.lab.state.Version, "EtcdTag": tag, "CgroupDriver": driver,
		"PodCIDR": podCIDR, "ServiceCIDR": serviceCIDR, "EtcdHosts": u.lab.state.Topology.Etcd,
	}, "--upload-certs")
}

// kubeadm runs one of its commands with a configuration rendered from data and
// what every such configuration holds.
func (u *bringUp) kubeadm(ctx context.Context, n Node, verb, config string, data map[string]any, flags ...string) error {
	data["Node"], data["Port"], data["Endpoint"] = n, apiPort, u.lab.LoadBalancer()
	data["Token"], data["CertificateKey"] = u.secrets.token, u.secrets.certificateKey
	text, err := render(config, data)
	if err != nil {
		return err
	}
	if err := u.lab.put(ctx, n.Name, []nodeFile{{path: kubeadmConfigPath, mode: 0o600, data: text}}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	argv := append([]string{"kubeadm", verb, "--config", kubeadmConfigPath, "--ignore-preflight-errors", ignoredPreflight}, flags...)
	out, err := u.lab.Exec(ctx, n.Name, argv...)
	if err != nil {
		return fmt.Errorf("%w\nkubeadm said:\n%s", err, lastLines(out, 30))
	}
	// It holds the bootstrap token and the certificate key.
	_, err = u.lab.Exec(ctx, n.Name, "rm", "-f", kubeadmConfigPath)
	return err
}

func (u *bringUp) writeKubeconfig(ctx context.Context, n Node) error {
	conf, err := u.lab.Exec(ctx, n.Name, "cat", "/etc/kubernetes/admin.conf")
	if err != nil {
		return err
	}
	return writeFile(u.lab.Kubeconfig(), []byte(conf+"\n"), 0o600)
}

// caHash is the pin of the cluster's CA that joining nodes check.
func (u *bringUp) caHash(ctx context.Context, n Node) (string, error) {
	out, err := u.lab.Exec(ctx, n.Name, "cat", "/etc/kubernetes/pki/ca.crt")
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode([]byte(out))
	if block == nil {
		return "", errors.New("ca.crt holds no PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// settle waits for the nodes, makes the cluster's configuration what a user's
// would be, and spreads CoreDNS.
func (u *bringUp) settle(ctx context.Context) error {
	if u.spec.Etcd != "" {
		if err := u.dropEtcdTag(ctx); err != nil {
			return &StepError{Step: "remove etcd's imageTag from kubeadm-config", Err: err}
		}
	}
	err := poll(ctx, 3*time.Minute, time.Second, func(ctx context.Context) error {
		out, err := u.lab.kubectl(ctx, "get", "nodes", "-o", "json")
		if err != nil {
			return err
		}
		return allReady([]byte(out), len(u.lab.state.Topology.Nodes))
	})
	if err != nil {
		return &StepError{Step: "wait for nodes to be Ready", Err: err}
	}
	u.log.logf("  all nodes are Ready")
	for _, args := range [][]string{
		{"-n", "kube-system", "rollout", "restart", "deployment/coredns"},
		{"-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=240s"},
		{"-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=240s"},
	} {
		if _, err := u.lab.kubectl(ctx, args...); err != nil {
			return &StepError{Step: "spread CoreDNS", Err: err}
		}
	}
	return poll(ctx, time.Minute, 300*time.Millisecond, func(ctx context.Context) error {
		return u.apiServersUp(ctx)
	})
}

// apiServersUp asks every API server for readiness from its own node.
func (u *bringUp) apiServersUp(ctx context.Context) error {
	return eachNode(ctx, u.lab.state.Topology.controlPlanes(), 3, "ask the API server", func(ctx context.Context, n Node) error {
		_, err := u.lab.Exec(ctx, n.Name, "curl", "-fsk", "--max-time", "5", "https://"+n.IP+":"+apiPort+"/readyz")
		return err
	})
}

// dropEtcdTag removes etcd.local.imageTag from the ClusterConfiguration: it was
// there to choose the starting version and must not pin the next one.
func (u *bringUp) dropEtcdTag(ctx context.Context) error {
	out, err := u.lab.kubectl(ctx, "-n", "kube-system", "get", "configmap", "kubeadm-config", "-o", "jsonpath={.data.ClusterConfiguration}")
	if err != nil {
		return err
	}
	without, err := withoutEtcdTag([]byte(out))
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"ClusterConfiguration": string(without)}})
	if err != nil {
		return err
	}
	_, err = u.lab.kubectl(ctx, "-n", "kube-system", "patch", "configmap", "kubeadm-config", "--type=merge", "-p", string(patch))
	return err
}

func withoutEtcdTag(config []byte) ([]byte, error) {
	var c map[string]any
	if err := yaml.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("ClusterConfiguration: %w", err)
	}
	if etcd, ok := c["etcd"].(map[string]any); ok {
		if local, ok := etcd["local"].(map[string]any); ok {
			delete(local, "imageTag")
		}
	}
	return yaml.Marshal(c)
}

// allReady is nil when want nodes exist and every one is Ready.
func allReady(list []byte, want int) error {
	var nodes struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
	}
	if err := json.Unmarshal(list, &nodes); err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	var late []string
	for _, n := range nodes.Items {
		ready, why := false, "no status yet"
		for _, c := range n.Status.Conditions {
			if c.Type == "Ready" {
				ready, why = c.Status == "True", c.Message
			}
		}
		if !ready {
			late = append(late, n.Metadata.Name+": "+why)
		}
	}
	if len(late) > 0 {
		return fmt.Errorf("not Ready: %s", strings.Join(late, "; "))
	}
	if len(nodes.Items) != want {
		return fmt.Errorf("%d of %d nodes have joined", len(nodes.Items), want)
	}
	return nil
}

func (u *bringUp) writeInventory(context.Context) error {
	t := u.lab.state.Topology
	text, err := render("kup.yaml", map[string]any{
		"Lab": u.spec.Name, "User": artifact.SSHUser, "Depot": t.Depot, "Bastion": t.Bastion, "Nodes": t.machines(), "EtcdHosts": t.Etcd,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(u.lab.Inventory(), text, 0o644)
}
