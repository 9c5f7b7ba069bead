package plan

// Kind selects the runner of a step. Each kind documents its Args: the engine
// and the runners read nothing else of a plan.
type Kind string

// The kinds. Commands in Args are argv lists joined by the unit separator
// (see [JoinArgv]), so that they are shown and executed without a shell.
const (
	// KindSnapshot saves and proves an etcd snapshot. Cluster step. Args: hop.
	// Truth: the run's artefact record with its digest.
	KindSnapshot Kind = "snapshot"
	// KindBackup copies a node's /etc/kubernetes, kubelet files, package state to
	// /var/lib/kup/<run>/backup/<hop>.tar on the node. Args: hop, paths (\n separated;
	// those absent on the node are left out), exclude (\n separated paths below them).
	// Truth: the file and its recorded digest.
	KindBackup Kind = "backup"
	// KindBaseline records workloads, pods and restarts before the hop. Cluster step. Args: hop.
	KindBaseline Kind = "baseline"
	// KindFetch adds the target minor's package source beside nothing that is
	// installed and downloads the pinned packages. Args: manager, and the
	// manager's own (see KindPackages). Truth: the package cache.
	KindFetch Kind = "fetch"
	// KindImages makes sure that images are on the node, pulling what is missing.
	// Args: images (\n separated; includes the runtime's sandbox image), socket.
	// Truth: the runtime.
	KindImages Kind = "images"
	// KindPackages installs exact versions. Args: manager (apt, dnf, binaries),
	// packages ("kubeadm=1.34.4-1.1\n..."), repository, repositoryFile,
	// signingKey, hold ("true"), lockTimeout, restart (unit restarted
	// afterwards; empty: none), version (vX.Y.Z that the binaries must print).
	// downgrade ("true": an older version may replace a newer one).
	// With the manager binaries, url and checksumURL instead of the repository's
	// keys; {binary} in them is the package's name.
	// Truth: the package manager and the binaries.
	KindPackages Kind = "packages"
	// KindCommand runs one command detached on the node. Args: argv, done
	// (what proves completion: [DoneExecution]), timeout, component (what of a
	// control plane it moves: [ComponentControlPlane], [ComponentEtcd]).
	KindCommand Kind = "command"
	// KindMoveLeader moves etcd's leadership off the node's member. Args: member.
	// Truth: the etcd cluster.
	KindMoveLeader Kind = "move-leader"
	// KindEtcdFetch downloads a release of etcd on the host of an external member, checks
	// its digest and keeps its programs aside. Args: version, url, checksumURL (a list
	// of digests and names, such as SHA256SUMS). Truth: the run's cache on the host.
	KindEtcdFetch Kind = "etcd-fetch"
	// KindEtcdSwap takes an external member to another release: the unit is stopped, its
	// programs and a copy of its data directory are set aside in [EtcdKeep], the programs
	// are replaced and the unit is started. Args: member (its name), unit, dataDirectory,
	// directory (of the programs), from, version, url, checksumURL. Truth: the installed
	// program, and that the unit runs it.
	KindEtcdSwap Kind = "etcd-swap"
	// KindEtcdReturn takes an external member back to the programs that a swap set
	// aside. Args: member, unit, dataDirectory, directory, version (to return to), keep
	// (what [EtcdKeep] gives for the swap), data: [EtcdDataOwn], the member goes on with
	// its own data: those of before the swap where the newer program took no part in the
	// cluster, else those it has now; [EtcdDataNone], the member has been
	// removed from the cluster and added again, and starts empty: initialCluster is then
	// name=peerURL of all members, with commas between. Truth: as for a swap.
	KindEtcdReturn Kind = "etcd-return"
	// KindCordon marks the node unschedulable. Truth: the API.
	KindCordon Kind = "cordon"
	// KindDrain evicts the node's pods. Args: timeout, gracePeriod,
	// deleteEmptyDirData, force. Truth: the API.
	KindDrain Kind = "drain"
	// KindUncordon makes the node schedulable. Truth: the API.
	KindUncordon Kind = "uncordon"
	// KindLocal runs a command on the operator's machine (load balancer drain
	// and restore). Args: argv. Truth: the journal.
	KindLocal Kind = "local"
	// KindCompare compares the workloads with the hop's baseline and reports
	// restarts, moves and users of deprecated APIs. Cluster step. Args: hop.
	KindCompare Kind = "compare"
)

// The values of Args["data"] of [KindEtcdReturn].
const (
	EtcdDataOwn  = "own"
	EtcdDataNone = "none"
)

// EtcdKeep is the directory on a member's host where the swap of a run and hop
// (1.34) keeps what it took the place of: the programs of the version from, and a copy of the
// data directory as that version left it.
func EtcdKeep(run, hop, from string) string {
	return "/var/lib/kup/" + run + "/etcd/" + hop + "/" + from
}

// argvSeparator cannot occur in a command-line argument that anybody types.
const argvSeparator = "\x1f"

// DoneExecution is the value of a command's Args["done"] that says: the command
// is done when its execution's record on the host holds exit code 0. A command
// whose record was lost is run again, so it must bear that.
const DoneExecution = "execution"

// The values of a command's Args["component"]: what of a control plane it moves.
// A command that moves neither has no such argument.
const (
	ComponentControlPlane = "control-plane" // API server, controller manager, scheduler
	ComponentEtcd         = "etcd"
)
