package kube

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/kup-project/kup/pkg/cluster"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// Requests per second, sustained and at once.
	qps   = 50
	burst = 100
	// ForConnect is how long an API that is away may take to answer for the first time.
	ForConnect = 5 * time.Second
)

// Client is a connection to one cluster. It is safe for concurrent use.
type Client struct {
	config    *rest.Config
	clientset kubernetes.Interface
	lean      corev1client.CoreV1Interface // for reading many pods and nodes, see newLean
	core      rest.Interface               // for what no typed client does, see podsAtOnce
	dynamic   dynamic.Interface
	identity  cluster.Identity
}

// Connect reads the kubeconfig (empty: $KUBECONFIG, then ~/.kube/config; the
// context empty: the current one) and asks the API who it is. The error is a
// *[ConnectError] unless ctx ended.
func Connect(ctx context.Context, kubeconfig, contextName string) (*Client, error) {
	return ConnectWithin(ctx, kubeconfig, contextName, ForConnect)
}

// ConnectWithin is Connect that asks an API which is away again for as long as patience.
// One that is slow has more time.
func ConnectWithin(ctx context.Context, kubeconfig, contextName string, patience time.Duration) (*Client, error) {
	forCalls := new(atomic.Int64)
	forCalls.Store(int64(patience))
	c, err := prepare(kubeconfig, contextName, forCalls)
	if err != nil {
		return nil, err
	}
	config := c.config
	asking, cancel := context.WithTimeout(ctx, 2*ForConnect)
	defer cancel()
	// client-go would repeat a call whose connection is cut ten times, each of them with
	// that patience: a load balancer before dead API servers does that.
	namespace := &corev1.Namespace{}
	err = c.clientset.CoreV1().RESTClient().Get().Resource("namespaces").Name(metav1.NamespaceSystem).MaxRetries(0).Do(asking).Into(namespace)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &ConnectError{Kubeconfig: source(kubeconfig), Endpoint: config.Host, Err: err, Hint: connectHint(err)}
	}
	c.identity.UID = string(namespace.UID)
	forCalls.Store(int64(forBlips))
	return c, nil
}

// Prepare is Connect for an API that is known to be away: nothing is asked, and the
// cluster is taken to be the one of that uid. Calls are not repeated for long.
func Prepare(kubeconfig, contextName, uid string) (*Client, error) {
	patience := new(atomic.Int64)
	patience.Store(int64(ForConnect))
	c, err := prepare(kubeconfig, contextName, patience)
	if err == nil {
		c.identity.UID = uid
	}
	return c, err
}

func prepare(kubeconfig, contextName string, patience *atomic.Int64) (*Client, error) {
	config, name, err := load(kubeconfig, contextName)
	if err != nil {
		return nil, err
	}
	c, err := newClient(config, patience)
	if err != nil {
		return nil, &ConnectError{Kubeconfig: source(kubeconfig), Endpoint: config.Host, Err: err, Hint: "check the kubeconfig"}
	}
	c.identity = cluster.Identity{Name: name, Endpoint: config.Host, CA: digestCA(config)}
	return c, nil
}

// Identity tells which cluster this is, as found when connecting.
func (c *Client) Identity(context.Context) (cluster.Identity, error) { return c.identity, nil }

func newClient(config *rest.Config, patience *atomic.Int64) (*Client, error) {
	config.QPS, config.Burst = qps, burst
	config.UserAgent = "kup"
	config.WarningHandler = rest.NoWarnings{} // they would end up on the terminal
	// HTTP/2 would keep calling a dead API server over the one connection it has;
	// with HTTP/1.1 a failed call costs its own connection only.
	config.NextProtos = []string{"http/1.1"}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &retrier{next: next, patience: patience} })
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	lean, err := newLean(config)
	if err != nil {
		return nil, err
	}
	return &Client{config: config, clientset: clientset, lean: lean, core: clientset.CoreV1().RESTClient(), dynamic: dyn}, nil
}

// load resolves the kubeconfig without ever falling back to a service account.
func load(kubeconfig, contextName string) (*rest.Config, string, error) {
	fail := func(err error, hint string) (*rest.Config, string, error) {
		return nil, "", &ConnectError{Kubeconfig: source(kubeconfig), Err: err, Hint: hint}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	raw, err := rules.Load()
	if err != nil {
		return fail(err, "give the file with --kubeconfig or as cluster.kubeconfig in kup.yaml")
	}
	if len(raw.Contexts) == 0 {
		return fail(errors.New("no kubeconfig, or one without contexts"), "give the file with --kubeconfig or as cluster.kubeconfig in kup.yaml")
	}
	if contextName == "" {
		contextName = raw.CurrentContext
	}
	kubeContext := raw.Contexts[contextName]
	if kubeContext == nil {
		return fail(errors.New("no context "+strconv.Quote(contextName)), "choose one of kubectl config get-contexts as cluster.context in kup.yaml")
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*raw, contextName, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return fail(err, "check the kubeconfig")
	}
	return config, clusterLabel(raw, kubeContext), nil
}

func clusterLabel(raw *clientcmdapi.Config, kubeContext *clientcmdapi.Context) string {
	if _, known := raw.Clusters[kubeContext.Cluster]; known {
		return kubeContext.Cluster
	}
	return ""
}

// source names where the kubeconfig comes from.
func source(kubeconfig string) string {
	switch env := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); {
	case kubeconfig != "":
		return kubeconfig
	case env != "":
		return "$KUBECONFIG " + env
	}
	return clientcmd.RecommendedHomeFile
}

// digestCA hashes the CA that the kubeconfig trusts; empty when it names none.
func digestCA(config *rest.Config) string {
	data := config.CAData
	if len(data) == 0 && config.CAFile != "" {
		data, _ = os.ReadFile(config.CAFile) //nolint:errcheck // the first call over TLS fails with the reason
	}
	sum, found := sha256.New(), false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			found = true
			sum.Write(block.Bytes)
		}
	}
	if !found {
		return ""
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

func connectHint(err error) string {
	switch {
	case apierrors.IsUnauthorized(err):
		return "the credentials are refused: has the client certificate expired? kubeadm certs check-expiration on a control plane tells"
	case apierrors.IsForbidden(err):
		return "kup needs the rights of a cluster administrator: use kubeadm's admin.conf"
	case isCertificateError(err):
		return "the server's certificate is not the one the kubeconfig trusts: is this the right cluster and address?"
	}
	return "check that the address is right and answers: kubectl get --raw /readyz"
}

func isCertificateError(err error) bool {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &unknown) || errors.As(err, &hostname) || errors.As(err, &invalid)
}

func (c *Client) leases() coordinationclient.LeaseInterface {
	return c.clientset.CoordinationV1().Leases(leaseNamespace)
}
