package plan

// The kinds for members of an external etcd, on their hosts.
const (
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
	// aside, on its own data: those of before the swap where the newer program took no part
	// in the cluster, else those it has now. Args: member, unit, dataDirectory, directory,
	// version (to return to), keep (what [EtcdKeep] gives for the swap), judged ("true": a
	// [KindRejoin] follows, so that a member which does not start is no error). Truth: as for
	// a swap.
	KindEtcdReturn Kind = "etcd-return"
)

// EtcdKeep is the directory on a member's host where the swap of a run and hop
// (1.34) keeps what it took the place of: the programs of the version from, and a copy of the
// data directory as that version left it.
func EtcdKeep(run, hop, from string) string {
	return "/var/lib/kup/" + run + "/etcd/" + hop + "/" + from
}
