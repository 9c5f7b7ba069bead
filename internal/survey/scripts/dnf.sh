# Prints what an rpm repository has of kubeadm, kubelet and kubectl. $1: its URL.
export LC_ALL=C
tool=dnf
command -v dnf >/dev/null || tool=yum
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT
if ! $tool -q --repofrompath="kup,$1" --repo=kup --disableexcludes=all --setopt=kup.gpgcheck=0 --setopt=kup.repo_gpgcheck=0 \
	--setopt="cachedir=$work" repoquery --qf 'rpm %{name} %{version}-%{release}\n' kubeadm kubelet kubectl >"$work/out" 2>"$work/log" </dev/null; then
	# A minor that the repository does not have is an answer.
	grep -Eq '(404|403)' "$work/log" && exit 0
	tail -n 3 "$work/log" >&2
	exit 1
fi
cat "$work/out"
