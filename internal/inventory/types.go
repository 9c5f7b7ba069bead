package inventory

import (
	"time"

	"github.com/kup-project/kup/pkg/cluster"
)

// APIVersion is the only format this package reads.
const APIVersion = "kup/v1alpha1"

// The field comments below are the user's reference: the JSON schema and
// docs/kup.yaml.md are generated from them. They speak of YAML, not of Go.

// Inventory is kup.yaml: the hosts of one kubeadm cluster, how they are reached and how far an upgrade may go at once.
type Inventory struct {
	// Format of the file. This kup reads kup/v1alpha1.
	APIVersion string `yaml:"apiVersion" jsonschema:"required,example=kup/v1alpha1"`
	// The cluster and how its API is reached.
	Cluster Cluster `yaml:"cluster"`
	// How hosts are reached. Holds for every node; nodes[].ssh overrides field by field.
	SSH SSH `yaml:"ssh"`
	// Every machine of the cluster, control planes and workers alike. At least one control plane.
	Nodes []Node `yaml:"nodes" jsonschema:"required,minItems=1"`
	// Groups of workers that are upgraded with the same budget. A pool named default always exists.
	Pools []Pool `yaml:"pools"`
	// In which hops of a path the kubelets of workers move. each-hop: in every hop. fewest: they stay behind for as many hops as Kubernetes and kubeadm support, so that a worker is drained as rarely as can be. Control planes move in every hop.
	Workers WorkerHops `yaml:"workers"`
	// Where kubeadm, kubelet and kubectl come from.
	Packages Packages `yaml:"packages"`
	// What is passed to kubeadm.
	Kubeadm Kubeadm `yaml:"kubeadm"`
	// Commands that take an API server out of an external load balancer and put it back. Optional; both or none. A command that takes longer than ten minutes is ended.
	LoadBalancer LoadBalancer `yaml:"loadBalancer"`
	// The cluster's store.
	Etcd Etcd `yaml:"etcd"`
	// Reserved. Must be empty: CoreDNS and kube-proxy are upgraded without being listed, others not yet.
	Addons []Addon `yaml:"addons" jsonschema:"maxItems=0"`
	// The etcd snapshots taken before each hop.
	Snapshots Snapshots `yaml:"snapshots"`
	// How long and how patiently kup looks before it goes on.
	Gates Gates `yaml:"gates"`
}

// Cluster names the cluster and says how its API is reached.
type Cluster struct {
	// Label used in reports and titles. Changes nothing else.
	Name string `yaml:"name" jsonschema:"example=prod"`
	// Kubeconfig file. Empty: $KUBECONFIG, then ~/.kube/config.
	Kubeconfig string `yaml:"kubeconfig" jsonschema:"example=./admin.conf"`
	// Context in the kubeconfig. Empty: its current context.
	Context string `yaml:"context" jsonschema:"example=admin@prod"`
}

// SSH says how a host is reached and how root is gained there.
type SSH struct {
	// User to log in as. Empty: the one ssh_config names, then $USER.
	User string `yaml:"user" jsonschema:"example=ops"`
	// Port of the SSH server. Not given: the one ssh_config names, then 22.
	Port int `yaml:"port" jsonschema:"minimum=1,maximum=65535,example=22"`
	// Private keys to offer, in this order. Empty: those ssh_config names, then the usual ones in ~/.ssh.
	Identities []string `yaml:"identities" jsonschema:"example=~/.ssh/id_ed25519"`
	// Also offer the keys of the SSH agent behind $SSH_AUTH_SOCK.
	Agent bool `yaml:"agent"`
	// Files that hold the trusted host keys. Empty: those ssh_config names, then ~/.ssh/known_hosts.
	KnownHosts []string `yaml:"knownHosts" jsonschema:"example=~/.ssh/known_hosts"`
	// Jump hosts, as user@host:port, chained with commas, outermost first. Empty: what ssh_config's ProxyJump says. "none": connect directly, whatever is inherited.
	Bastion string `yaml:"bastion" jsonschema:"example=ops@192.0.2.5:22"`
	// OpenSSH client configuration to honour (HostName, User, Port, IdentityFile, ProxyJump, UserKnownHostsFile, GlobalKnownHostsFile). "none": ignore it.
	Config string `yaml:"config"`
	// How long connecting to one host, or to one jump host, may take.
	ConnectTimeout time.Duration `yaml:"connectTimeout"`
	// Interval of the messages that keep a connection open and notice a dead one.
	Keepalive time.Duration `yaml:"keepalive"`
	// How root is gained.
	Sudo Sudo `yaml:"sudo"`
}

// SudoMode is how root is gained on a host.
type SudoMode string

// The sudo modes.
const (
	SudoAuto     SudoMode = "auto"
	SudoNoPasswd SudoMode = "nopasswd"
	SudoPassword SudoMode = "password"
	SudoNone     SudoMode = "none"
)

// Sudo says how root is gained on a host. The password itself is never written here.
type Sudo struct {
	// auto: without a password where sudo allows it, else with one. nopasswd: never with one. password: always with one. none: the user is root already.
	Mode SudoMode `yaml:"mode"`
	// File that holds the password, readable by its owner only. Neither file nor variable: asked on the terminal, once.
	PasswordFile string `yaml:"passwordFile" jsonschema:"example=~/.config/kup/sudo"`
	// Environment variable that holds the password. Not together with passwordFile.
	PasswordEnv string `yaml:"passwordEnv" jsonschema:"example=SUDO_PASSWORD"`
}

// Node is one machine of the cluster.
type Node struct {
	// Name of the node, exactly as `kubectl get nodes` prints it.
	Name string `yaml:"name" jsonschema:"required,example=cp-1"`
	// What the machine does.
	Role cluster.Role `yaml:"role" jsonschema:"required,example=worker"`
	// IP address or DNS name SSH connects to, without a port.
	Address string `yaml:"address" jsonschema:"required,example=10.0.0.11"`
	// Pool the node belongs to. On a control plane only the pool's drain options matter: control planes always go one at a time.
	Pool string `yaml:"pool"`
	// What differs from the ssh section above for this node. A list replaces the inherited one; a password source replaces the inherited source.
	SSH SSH `yaml:"ssh"`
}

// Pool is a group of workers upgraded with the same budget.
type Pool struct {
	// Name that nodes[].pool refers to.
	Name string `yaml:"name" jsonschema:"required,example=default"`
	// How many of the pool's workers may be out of service at once: a number, or a percentage of the pool, rounded down but at least one.
	MaxUnavailable Amount `yaml:"maxUnavailable"`
	// How the pods leave a node.
	Drain Drain `yaml:"drain"`
}

// Drain says how pods leave a node. Budgets (PodDisruptionBudget) are always respected.
type Drain struct {
	// How long all evictions of a node together may take before the run stops.
	Timeout time.Duration `yaml:"timeout"`
	// Time a pod gets to end. -1s: the pod's own terminationGracePeriodSeconds.
	GracePeriod time.Duration `yaml:"gracePeriod"`
	// Evict pods that use emptyDir volumes; what is in those volumes is lost.
	DeleteEmptyDirData bool `yaml:"deleteEmptyDirData"`
	// Delete pods that no controller would bring back.
	Force bool `yaml:"force"`
}

// WorkerHops is in which hops of a path the kubelets of workers move.
type WorkerHops string

// The ways.
const (
	EachHop WorkerHops = "each-hop"
	Fewest  WorkerHops = "fewest"
)

// Manager is what installs kubeadm, kubelet and kubectl on the hosts.
type Manager string

// The package managers.
const (
	APT      Manager = "apt"
	DNF      Manager = "dnf"
	Binaries Manager = "binaries"
)

// Packages says where kubeadm, kubelet and kubectl come from.
type Packages struct {
	// apt: Debian, Ubuntu. dnf: Fedora, RHEL and their kin. binaries: plain files fetched by URL.
	Manager Manager `yaml:"manager"`
	// URL of the package repository; {minor} stands for the minor version, such as 1.34. Default with dnf: https://pkgs.k8s.io/core:/stable:/v{minor}/rpm/.
	Repository string `yaml:"repository"`
	// File on the nodes that holds the repository's entry. Default with dnf: /etc/yum.repos.d/kubernetes.repo.
	RepositoryFile string `yaml:"repositoryFile"`
	// File on the nodes that holds the repository's public key. Default with dnf: empty, which means the key the repository itself publishes (repodata/repomd.xml.key).
	SigningKey string `yaml:"signingKey"`
	// Hold the packages at their version afterwards, so that nothing else upgrades them.
	Hold bool `yaml:"hold"`
	// How long to wait for another process to release the package manager's lock. With apt; dnf waits until it is released.
	LockTimeout time.Duration `yaml:"lockTimeout"`
	// Where the files come from. With manager: binaries only.
	Binaries BinaryURLs `yaml:"binaries"`
}

// BinaryURLs says where plain binaries are fetched from.
type BinaryURLs struct {
	// URL of a binary; {version} stands for v1.34.4, {arch} for amd64 or arm64, {binary} for kubeadm, kubelet or kubectl.
	URL string `yaml:"url"`
	// URL of the file that holds its SHA-256; {url} stands for the binary's own URL.
	ChecksumURL string `yaml:"checksumURL"`
}

// Kubeadm is what is passed to kubeadm.
type Kubeadm struct {
	// Directory on the control-plane nodes given to kubeadm as --patches. Empty: none.
	Patches string `yaml:"patches" jsonschema:"example=/etc/kubernetes/patches"`
	// kubeadm's own preflight checks that may fail, by name. "all" is refused.
	IgnorePreflightErrors []string `yaml:"ignorePreflightErrors" jsonschema:"example=SystemVerification"`
	// Renew the certificates kubeadm manages with every hop.
	CertificateRenewal bool `yaml:"certificateRenewal"`
	// How many of kubeadm's own backups of each kind (manifests, and copies of etcd's whole data directory) stay in /etc/kubernetes/tmp of a node after a run that ended well. Those made since the run began, or since a run that is not over began, always stay.
	KeepBackups int `yaml:"keepBackups" jsonschema:"minimum=0"`
}

// LoadBalancer holds commands run on the operator's machine, without a shell, around an API server's restart. {node} and {address} are replaced.
type LoadBalancer struct {
	// Takes the node's API server out of service. A list: the program, then its arguments.
	Drain []string `yaml:"drain" jsonschema:"example=./lb,example=drain,example={address}"`
	// Puts it back. Given together with drain.
	Restore []string `yaml:"restore" jsonschema:"example=./lb,example=restore,example={address}"`
}

// Topology is where etcd's members run.
type Topology string

// The topologies.
const (
	Stacked  Topology = "stacked"
	External Topology = "external"
)

// Etcd describes the cluster's store.
type Etcd struct {
	// stacked: members are static pods on the control planes. external: members run on hosts of role etcd, as units of systemd.
	Topology Topology `yaml:"topology"`
	// With topology: external. What differs from the defaults on hosts of role etcd; a host that is not listed has all of them.
	Members []EtcdMember `yaml:"members"`
	// With topology: external. Where etcd's releases come from.
	Binaries EtcdBinaries `yaml:"binaries"`
	// Defragment the members once in a run, before anything else of it changes: one at a time, the leader last, never while a member catches up. While its turn lasts a member answers nobody.
	Defragment bool `yaml:"defragment"`
}

// EtcdMember is what runs on a host of role etcd.
type EtcdMember struct {
	// Host the member runs on: the name of a node of role etcd.
	Node string `yaml:"node" jsonschema:"required,example=etcd-1"`
	// Unit of systemd that runs the member.
	Unit string `yaml:"unit"`
	// The member's data directory on its host.
	DataDirectory string `yaml:"dataDirectory"`
	// Where the member serves clients, host:port, as its own host sees it.
	Endpoint string `yaml:"endpoint"`
	// Files on the host that the unit reads, saved before anything changes. The unit's own files and those it names are always saved.
	Config []string `yaml:"config" jsonschema:"example=/etc/etcd/etcd.conf.yml"`
	// A client's identity on the host, with which etcd is asked about itself.
	Certificates EtcdCertificates `yaml:"certificates"`
}

// EtcdCertificates are files on the member's host.
type EtcdCertificates struct {
	// Certificate of the CA that signed the member's.
	CA string `yaml:"ca"`
	// Certificate of a client with the rights of root in etcd.
	Cert string `yaml:"cert"`
	// Its key.
	Key string `yaml:"key"`
}

// EtcdBinaries says where etcd's releases are fetched from, on each member's host.
type EtcdBinaries struct {
	// URL of a release's archive (.tar.gz with etcd, etcdctl and etcdutl in it); {version} stands for v3.6.8, {arch} for amd64 or arm64.
	URL string `yaml:"url"`
	// URL of a file that lists the archive's SHA-256 beside its name, such as a release's SHA256SUMS.
	ChecksumURL string `yaml:"checksumURL"`
}

// Addon is an add-on beyond CoreDNS and kube-proxy.
type Addon struct {
	// Name of the add-on.
	Name string `yaml:"name" jsonschema:"required,example=cilium"`
}

// Snapshots says where etcd snapshots are kept, for how long, how fast they are taken and for whom they are encrypted.
type Snapshots struct {
	// Directory on the operator's machine for the snapshots. Empty: kup's own, those of a run in the run's state directory.
	Directory string `yaml:"directory" jsonschema:"example=./snapshots"`
	// How many snapshots to keep in each place: so many taken by runs, removed after a run that ended well, and so many taken by hand, removed after another was taken.
	Keep int `yaml:"keep" jsonschema:"minimum=1"`
	// How many bytes a second a snapshot is read from a member at most, as KiB, MiB or GiB. Empty: as fast as they come.
	Limit Bytes `yaml:"limit" jsonschema:"example=50MiB"`
	// Public keys of age for whom snapshots are encrypted wherever they are kept. Neither these nor recipientsFile: they are kept plain.
	Recipients []string `yaml:"recipients" jsonschema:"example=age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"`
	// File with more of them, one a line; # begins a comment.
	RecipientsFile string `yaml:"recipientsFile" jsonschema:"example=./recipients.txt"`
	// Where every snapshot is kept a second time. A directory or a bucket.
	Second SecondPlace `yaml:"second"`
}

// SecondPlace is where every snapshot is kept a second time: a directory or a bucket.
type SecondPlace struct {
	// Directory, such as one of a file server. Not together with s3.
	Directory string `yaml:"directory" jsonschema:"example=/mnt/backups/etcd"`
	// Bucket of an S3-compatible store. Not together with directory.
	S3 S3Bucket `yaml:"s3"`
}

// S3Bucket is a bucket of an S3-compatible store.
type S3Bucket struct {
	// URL of the store. http is refused, unless snapshots are encrypted or the store is on this machine.
	Endpoint string `yaml:"endpoint" jsonschema:"required,example=https://s3.example.com"`
	// Name of the bucket, which must exist.
	Bucket string `yaml:"bucket" jsonschema:"required,example=etcd-backups"`
	// What the names of objects begin with. One a cluster keeps listings short.
	Prefix string `yaml:"prefix" jsonschema:"example=prod"`
	// Region of the bucket. Empty: us-east-1, which is what most other stores take.
	Region string `yaml:"region" jsonschema:"example=eu-central-1"`
	// File with the keys, as the AWS tools have it, readable by its owner only. Empty: $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, then ~/.aws/credentials.
	CredentialsFile string `yaml:"credentialsFile" jsonschema:"example=~/.config/kup/s3"`
}

// Gates says how long what follows a step must hold, and how long it may take to get there.
type Gates struct {
	// How long a gate must hold without a break before the next step. At least 10s.
	Sustain time.Duration `yaml:"sustain"`
	// How long a gate may take before the run stops, resumable. Longer than sustain.
	Timeout time.Duration `yaml:"timeout"`
}
