# Prints kubeadm's files as they are ("have") and as the installed kubeadm would
# write them now ("want"). kubeadm's dry run leaves directories behind, so it
# runs in a mount namespace in which /etc/kubernetes and /tmp are throw-away
# copies: nothing is changed, and nothing has to be cleaned up.
# $1: the patches directory, may be empty. Standard input: a configuration for
# kubeadm init on a control plane, which names the patches itself; empty elsewhere.
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin"
exec unshare -m sh -c '
umask 077
mount -t tmpfs kup /tmp && mkdir /tmp/upper /tmp/work &&
	mount -t overlay -o lowerdir=/etc/kubernetes,upperdir=/tmp/upper,workdir=/tmp/work kup /etc/kubernetes || exit 3
cat >/tmp/config.yaml
exec </dev/null

part() { printf "\n#kup:part %s\n" "$1"; }

patches=
[ -z "$1" ] || [ ! -d "$1" ] || patches=$1

# try NAME COMMAND... says no more of a failure than which flag is unknown: what
# kubeadm prints may quote the configuration.
try() {
	name=$1
	shift
	timeout 60 "$@" --dry-run >/tmp/log 2>&1 && return
	part "failed $name"
	grep -om1 "unknown flag: --[a-z-]*" /tmp/log
}

# both NAME FILE DIRECTORY prints the file, and the one that a dry run wrote.
both() {
	part "have $1"
	cat "$2"
	for written in /etc/kubernetes/tmp/$3*/"${2##*/}"; do
		[ -f "$written" ] || continue
		part "want $1"
		cat "$written"
	done
}

manifests=/etc/kubernetes/manifests
if [ -s /tmp/config.yaml ]; then
	try control-plane kubeadm init phase control-plane all --config /tmp/config.yaml
	for name in kube-apiserver kube-controller-manager kube-scheduler; do
		both $name $manifests/$name.yaml kubeadm-init-dryrun
	done
	if [ -f $manifests/etcd.yaml ]; then
		part etcd-default
		kubeadm config images list --kubernetes-version "$(kubeadm version -o short)" 2>/tmp/log | sed -n "s/.*etcd:\([^ ]*\)\$/\1/p"
		try etcd kubeadm init phase etcd local --config /tmp/config.yaml
		both etcd $manifests/etcd.yaml kubeadm-init-dryrun
	fi
fi
try kubelet kubeadm upgrade node phase kubelet-config ${patches:+--patches "$patches"}
both kubelet /var/lib/kubelet/config.yaml kubeadm-upgrade-dryrun
if [ -f /var/lib/kubelet/instance-config.yaml ]; then
	part instance
	cat /var/lib/kubelet/instance-config.yaml
fi
exit 0
' kup "$1"
