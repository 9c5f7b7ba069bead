# Packs files and the package state into TARGET and prints its digest. Arguments:
# TARGET, the number of excluded paths, these paths, then the paths to save. What
# does not exist is listed in the archive, so that a way back can remove it again.
umask 077
target=$1 excluded=$2
shift 2
dir=${target%/*}
mkdir -p "$dir"
work=$(mktemp -d "$dir/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
state=$work/kup-state
mkdir "$state"
: >"$state/exclude"
while [ "$excluded" -gt 0 ]; do
	echo "${1#/}" >>"$state/exclude"
	excluded=$((excluded - 1))
	shift
done
: >"$state/absent"
: >"$state/paths"
for path in "$@"; do
	if [ -e "$path" ] || [ -L "$path" ]; then
		echo "${path#/}" >>"$state/paths"
	else
		echo "$path" >>"$state/absent"
	fi
done
if command -v dpkg-query >/dev/null; then
	dpkg-query -W -f='${Package}\t${Version}\t${db:Status-Status}\n' >"$state/dpkg"
	apt-mark showhold >"$state/holds"
fi
if command -v rpm >/dev/null; then
	rpm -qa >"$state/rpm"
fi
if command -v dnf >/dev/null; then
	# Of what is cached: no repository is asked, and not every dnf has the plugin.
	dnf -q -C versionlock list >"$state/versionlock" 2>/dev/null </dev/null || :
fi
for name in kubeadm kubelet kubectl; do # plain binaries are in no package database
	echo "$name $(printed "$name")"
done >"$state/versions"
tar --create --file "$target.part" --numeric-owner \
	--directory "$work" kup-state \
	--directory / --anchored --exclude-from "$state/exclude" --files-from "$state/paths"
sync "$target.part" 2>/dev/null || sync
mv -f "$target.part" "$target"
sha256sum "$target"
