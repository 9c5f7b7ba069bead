package bench

import (
	"context"
	_ "embed" // the audit policy
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/kup-project/kup/internal/lab/artifact"
	"github.com/kup-project/kup/internal/lab/hollow/machine/manifest"
	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

const (
	clientPort = "2379"
	peerPort   = "2380"

	// quota is etcd's, in bytes: 50,000 pods are some hundred megabytes.
	quota = 8 << 30
	// maxTxn and maxRequest let the cluster be filled in few transactions.
	maxTxn     = 4096
	maxRequest = 16 << 20

	etcdPatience = 30 * time.Second
	apiPatience  = 3 * time.Minute
)

// auditPolicy logs who asked for what, once for each request.
//
//go:embed audit-policy.yaml
var auditPolicy []byte

// servers are the real programs: a member of etcd for each control plane, and one
// API server.
type servers struct {
	dir    string
	layout *layout
	etcds  []*process
	api    *process
	audit  string // its log
	client *clientv3.Client
}

func peer(p place) string { return p.name + "=https://" + net.JoinHostPort(p.ip, peerPort) }

// startEtcd starts all members and connects to them.
func startEtcd(ctx context.Context, dir, binaries string, f *fleet) (*servers, error) {
	s := &servers{dir: dir, layout: f.layout, audit: filepath.Join(dir, "audit.log")}
	return s, s.members(ctx, binaries, f)
}

func (s *servers) members(ctx context.Context, binaries string, f *fleet) error {
	var initial, endpoints []string
	for _, p := range s.layout.controlPlanes() {
		initial = append(initial, peer(p))
		endpoints = append(endpoints, "https://"+net.JoinHostPort(p.ip, clientPort))
	}
	for _, h := range f.hosts[:controlPlanes] {
		if err := export(h.machine.FS(), manifest.PKI, s.pki(h.name)); err != nil {
			return fmt.Errorf("certificates of %s: %w", h.name, err)
		}
		client, peer := "https://"+net.JoinHostPort(h.ip, clientPort), "https://"+net.JoinHostPort(h.ip, peerPort)
		pki := filepath.Join(s.pki(h.name), "etcd")
		p, err := start(ctx, s.dir, "etcd-"+h.name, []string{
			filepath.Join(binaries, "etcd"), "--name=" + h.name, "--data-dir=" + filepath.Join(s.dir, "etcd-"+h.name),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=" + strings.Join(initial, ","), "--initial-cluster-state=new",
			"--cert-file=" + pki + "/server.crt", "--key-file=" + pki + "/server.key", "--trusted-ca-file=" + pki + "/ca.crt", "--client-cert-auth=true",
			"--peer-cert-file=" + pki + "/peer.crt", "--peer-key-file=" + pki + "/peer.key", "--peer-trusted-ca-file=" + pki + "/ca.crt", "--peer-client-cert-auth=true",
			"--unsafe-no-fsync=true", "--log-level=warn", "--snapshot-count=10000",
			fmt.Sprintf("--quota-backend-bytes=%d", int64(quota)), fmt.Sprintf("--max-txn-ops=%d", maxTxn), fmt.Sprintf("--max-request-bytes=%d", maxRequest),
		})
		if err != nil {
			return err
		}
		s.etcds = append(s.etcds, p)
	}
	return s.connect(ctx, endpoints)
}

// connect waits until the members serve.
func (s *servers) connect(ctx context.Context, endpoints []string) error {
	pki := filepath.Join(s.pki(s.layout.places[0].name), "etcd")
	tls, err := transport.TLSInfo{
		CertFile: pki + "/healthcheck-client.crt", KeyFile: pki + "/healthcheck-client.key", TrustedCAFile: pki + "/ca.crt",
	}.ClientConfig()
	if err != nil {
		return fmt.Errorf("etcd's client certificate: %w", err)
	}
	s.client, err = clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: tls, DialTimeout: etcdPatience, MaxCallSendMsgSize: maxRequest, Logger: zap.NewNop(), Context: context.WithoutCancel(ctx),
	})
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	for i, p := range s.etcds {
		err := p.waitFor(ctx, etcdPatience, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := s.client.Status(ctx, endpoints[i])
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// commit does all of the operations, or none.
func (s *servers) commit(ctx context.Context, ops []clientv3.Op) error {
	_, err := s.client.Txn(ctx).Then(ops...).Commit()
	return err
}

// startAPI starts the API server with the flags of the first control plane's
// manifest, and waits until it is ready.
func (s *servers) startAPI(ctx context.Context, binaries string, files *vfs.FS, kubeconfig string) (kubernetes.Interface, error) {
	flags, err := manifestFlags(files, "kube-apiserver")
	if err != nil {
		return nil, err
	}
	policy := filepath.Join(s.dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, auditPolicy, 0o600); err != nil {
		return nil, err
	}
	var members []string
	for _, p := range s.layout.controlPlanes() {
		members = append(members, "https://"+net.JoinHostPort(p.ip, clientPort))
	}
	own := map[string]string{
		"--bind-address": s.layout.balancer(), "--advertise-address": "192.0.2.1", "--endpoint-reconciler-type": "none", "--etcd-servers": strings.Join(members, ","),
		"--audit-policy-file": policy, "--audit-log-path": s.audit, "--audit-log-mode": "blocking",
	}
	argv := []string{filepath.Join(binaries, "kube-apiserver")}
	for _, flag := range flags {
		// A list that is given twice is both lists.
		if name, _, _ := strings.Cut(flag, "="); own[name] == "" {
			argv = append(argv, strings.ReplaceAll(flag, manifest.PKI, s.pki(s.layout.places[0].name)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		argv = append(argv, name+"="+own[name])
	}
	if s.api, err = start(ctx, s.dir, "kube-apiserver", argv); err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "bench" // not to be counted
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return client, s.api.waitFor(ctx, apiPatience, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

func (s *servers) pki(node string) string { return filepath.Join(s.dir, "pki-"+node) }

// cpu is the processor time that the servers have used: the API server's, and that of
// all members.
func (s *servers) cpu() (api, etcd time.Duration) {
	for _, p := range s.etcds {
		etcd += p.cpu()
	}
	return s.api.cpu(), etcd
}

// failed tells of a server that has ended by itself.
func (s *servers) failed() error {
	errs := []error{s.api.failed()}
	for _, p := range s.etcds {
		errs = append(errs, p.failed())
	}
	return errors.Join(errs...)
}

// close stops all servers, from the outside in.
func (s *servers) close() {
	if s.client != nil {
		_ = s.client.Close() // its servers are going
	}
	if s.api != nil {
		s.api.stop()
	}
	for _, p := range s.etcds {
		p.cancel()
	}
	for _, p := range s.etcds {
		p.stop()
	}
}

// manifestFlags are the arguments of a static pod's first container.
func manifestFlags(files *vfs.FS, component string) ([]string, error) {
	text, err := files.ReadFile(path.Join(manifest.Dir, component+".yaml"))
	if err != nil {
		return nil, err
	}
	pod := corev1.Pod{}
	if err := yaml.Unmarshal(text, &pod); err != nil || len(pod.Spec.Containers) == 0 {
		return nil, fmt.Errorf("manifest of %s: %w", component, errors.Join(err, errors.New("it has no container")))
	}
	return pod.Spec.Containers[0].Command[1:], nil
}

// export copies a directory of a host to this machine.
func export(files *vfs.FS, from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := files.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, target := path.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.IsDir() {
			err = export(files, source, target)
		} else {
			err = exportFile(files, source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func exportFile(files *vfs.FS, from, to string) error {
	content, err := files.ReadFile(from)
	if err != nil {
		return err
	}
	const secret = fs.FileMode(0o600)
	return os.WriteFile(to, content, secret)
}

// programs are the directories of the real programs, built when they are not there.
type programs struct{ kubernetes, etcd string }

func findPrograms(ctx context.Context, l *layout, log io.Writer) (p programs, err error) {
	dir, err := artifact.DefaultDir()
	if err != nil {
		return p, err
	}
	store, err := artifact.New(dir, log)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if p.kubernetes, err = store.Kubernetes(ctx, l.start.String()); err != nil {
		return p, err
	}
	p.etcd, err = store.Etcd(ctx, l.etcd.Bare())
	return p, err
}
