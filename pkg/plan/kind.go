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
	// KindRehearse restores the hop's snapshot aside on a control-plane node with the
	// etcd that its member runs, starts that etcd on what it restored, compares what it
	// answers and removes it again. A host that cannot do it (no room, no programs) is
	// told of and fails nothing: the proof that KindSnapshot made stands. A snapshot that
	// etcd refuses fails the step. Args: hop, version, image, socket, programs (as
	// KindRestorable), bump (how far the revision is raised in a second try; empty: that
	// etcd cannot). Truth: the run's record of it, which says which etcd it was.
	KindRehearse Kind = "rehearse"
	// KindRestorable sees to it that a member's node can restore data with the API dead
	// and the images removed: it copies etcd's programs out of the image. Args: version
	// (3.5.24), image (empty: etcd is installed on the host), socket (the runtime's),
	// programs (directory on the node; empty: /var/lib/kup/<run>/etcd-<version>), bump
	// ("true": the restore must know --bump-revision). Truth: the execution.
	KindRestorable Kind = "restorable"
	// KindRestoreMember restores a snapshot in place of one stopped member's data. It
	// proves first that the node stands still, and refuses while an etcd holds the data.
	// What it moves away it never deletes. It works with the API dead. Args:
	//   unit, manifests, pods, ports: as KindStandstill.
	//   version, image, socket, programs: as KindRestorable. After prepare of run R the
	//     programs are in /var/lib/kup/R/etcd-<version>; say so when another run restores.
	//   snapshot: the file on the node, /var/lib/kup/<run>/etcd-<hop>.db; sha256: of it, hexadecimal.
	//   dataDir: the member's, /var/lib/etcd. Its owner, mode and SELinux context stay.
	//   aside: where DATADIR/member goes, a directory beside dataDir that does not exist,
	//     /var/lib/etcd-kup-<run>; taken with .2, .3 behind it when it does, and inside
	//     dataDir when that is a disk of its own.
	//   member: its name; peerURLs: its --initial-advertise-peer-urls; initialCluster: all
	//     members, name=url,name=url; token: the new --initial-cluster-token, one for all.
	//   bump: --bump-revision, with --mark-compacted; empty: neither (below 3.4.27, 3.5.10).
	// Truth: DATADIR/member/kup-restored on the node, which names sha256 and token.
	KindRestoreMember Kind = "restore-member"
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
	// KindPinEtcd sets etcd.local.imageTag in the ConfigMap kube-system/kubeadm-config,
	// from which kubeadm deploys etcd. Cluster step. Args: tag. Truth: the API.
	KindPinEtcd Kind = "pin-etcd"
	// KindUnpinEtcd takes it out again. Cluster step. Args: tag, the one that
	// KindPinEtcd set; another one is not the plan's to remove. Truth: the API.
	KindUnpinEtcd Kind = "unpin-etcd"
	// KindDefragment gives the free space in the node's etcd member's store back to
	// the disk; the member does not answer meanwhile. Args: member. Truth: none; what
	// was begun is done again.
	KindDefragment Kind = "defragment"
	// KindCordon marks the node unschedulable. Args: found (how the node is to be left in
	// the end, [FoundCordoned] or [FoundSchedulable]; empty: as the step finds it). Truth:
	// the API.
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
	// restarts, moves and users of deprecated APIs. Cluster step. Args: hop, restored (\n
	// separated "namespace/name" of pods that a rollback started again as announced).
	KindCompare Kind = "compare"

	// KindFiles puts files of a node's backup back. Args: archive (path on the node,
	// see KindBackup), digest of it, paths (\n separated, directories with all below
	// them), keep (\n separated paths below them that stay as they are). A path that
	// the backup tells did not exist is removed. Units are read anew. component and
	// version (what of the node moves to which version, for those who look for drift).
	// Truth: the execution.
	KindFiles Kind = "files"
	// KindUnit starts or stops a unit and proves that it runs, or that none of its
	// processes is left. Args: unit, want (UnitRunning or UnitStopped); component and
	// version as for KindFiles. Truth: the host.
	KindUnit Kind = "unit"
	// KindObjects makes objects of the API what the undone run recorded of them before
	// the hop. Cluster step. Args: hop (of that run, 1.34), source (path of the
	// artefact in this run's directory), digest, objects (\n separated,
	// "ConfigMap/kube-system/kubeadm-config"). Truth: the API.
	KindObjects Kind = "objects"
	// KindRejoin makes an etcd member's data equal to the others': a member whose hash
	// differs is removed, its data directory set aside, and it is added again, empty.
	// Args: member, dataDir, manifest (path of the static pod's) or unit (of systemd, on an
	// external member's host), version (of the etcd it then runs). Truth: the members'
	// hashes.
	KindRejoin Kind = "rejoin"
	// KindReopen records in the journal of the run that is taken back which of its
	// steps no longer stand, so that it can be resumed; without steps it ends that
	// run for good. Cluster step. Args: run, steps (\n separated ids). Truth: that journal.
	KindReopen Kind = "reopen"

	// KindDeliver puts a snapshot of a run on a node, from this machine or from a control
	// plane that has it. Args: path (on the node), digest, room (directory on the node whose
	// disk must have room for the file once more), from (\n separated
	// "node:path", tried when this machine has no whole copy), local (path on this
	// machine; empty: none), sealed (digest of these copies, which are encrypted: they are
	// decrypted on this machine; empty: they are what digest says). Truth: the file and its
	// digest.
	KindDeliver Kind = "deliver"
	// KindStandstill keeps what writes to the store from running on a node: the
	// manifests of static pods are moved away, the pods' containers stopped, and it is
	// proven that none is left. The kubelet must have been stopped, or it is an error.
	// Args: unit (the kubelet's), manifests (\n separated paths), aside (directory on the
	// node that they are moved to), pods (\n separated names in kube-system), ports (\n
	// separated; nothing may listen there afterwards), socket, proof ("true": nothing is
	// moved or stopped, and what still runs is an error). Truth: the host.
	KindStandstill Kind = "standstill"
	// KindSandboxes stops every pod on a node that the snapshot does not know there, and
	// proves it. It proves first that the node stands still. Static pods, which the
	// kubelet has from files, stay. Args: unit, manifests, pods, ports, socket (as
	// KindStandstill), keep (\n separated uids), grace (seconds for containers to end).
	// Truth: the host and its runtime.
	KindSandboxes Kind = "sandboxes"
	// KindRevision proves, after a restore, that every etcd member is at a revision of at
	// least Args["least"]. Cluster step. Truth: the members.
	KindRevision Kind = "revision"
)

// The values of KindCordon's Args["found"].
const (
	FoundCordoned    = "cordoned"
	FoundSchedulable = "schedulable"
)

// The values of KindUnit's Args["want"].
const (
	UnitRunning = "running"
	UnitStopped = "stopped"
)

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
	ComponentKubelet      = "kubelet" // of steps that go back only
)
