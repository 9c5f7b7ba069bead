# Prints the index of an apt repository, as far as kubeadm, kubelet and kubectl
# are concerned. $1: its URL, ending in a slash.
export LC_ALL=C
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work"
for name in Packages Packages.gz; do
	/usr/lib/apt/apt-helper -o "Dir::State=$work" -o Acquire::Retries=2 download-file "$1$name" "$work/$name" >"$work/log" 2>&1 && break
	# A minor that the repository does not have is an answer.
	if grep -Eq ' (404|403) ' "$work/log"; then
		continue
	fi
	grep '^E: ' "$work/log" | head -n 1 >&2
	exit 1
done
printf 'architecture %s\n' "$(dpkg --print-architecture)"
[ ! -f "$work/Packages.gz" ] || gzip -d "$work/Packages.gz"
[ -f "$work/Packages" ] || exit 0
sed -n -e 's/^Package: /package /p' -e 's/^Version: /version /p' -e 's/^Architecture: /for /p' -e 's/^$/end/p' "$work/Packages"
