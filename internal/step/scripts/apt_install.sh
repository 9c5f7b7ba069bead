# Installs exact versions from one repository. Safe to run again from any point.
file=$1 repository=$2 key=$3 keep=$4 hold=$5 lock=$6 version=$7 unit=$8 downgrade=$9
shift 9
work=$(mktemp -d)
names=
for pin in "$@"; do names="$names ${pin%%=*}"; done

# What was on hold is on hold again at the end, come what may: a run that was cut
# short left its list behind. Dependencies that come from the same repository are
# freed too; apt moves them only where it must.
(umask 077 && mkdir -p "$keep")
for name in $names cri-tools kubernetes-cni; do
	if held "$name" && ! grep -qxF "$name" "$keep/holds" 2>/dev/null; then
		echo "$name" >>"$keep/holds"
	fi
done
notheld=0
held_again() {
	again=$(cat "$keep/holds" 2>/dev/null || :)
	[ "$hold" != true ] || again="$again $names"
	for name in $again; do
		held "$name" || unlocked apt-mark hold "$name" || notheld=72
	done
}
end_held() {
	ended=$?
	trap - EXIT
	held_again
	rm -rf "$work"
	exit $((ended ? ended : notheld))
}
trap end_held EXIT
trap 'exit 143' HUP INT TERM

source_of "$file" "$repository" "$key" | replaced "$file" "$keep"
if present "$@"; then
	echo 'installed already'
else
	refreshed "$file" "$repository" "$@"
	if ls /var/lib/dpkg/updates 2>/dev/null | grep -q .; then
		# dpkg was interrupted, by a power cut for example, and refuses to go on before this.
		dpkg --force-confdef --force-confold --configure -a </dev/null
	fi
	for name in $names cri-tools kubernetes-cni; do
		! held "$name" || unlocked apt-mark unhold "$name"
	done
	older=
	[ "$downgrade" != true ] || older=--allow-downgrades
	# $older is empty or one word.
	unlocked apt-get install -y -q --no-install-recommends $older \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o "DPkg::Lock::Timeout=$lock" "$@"
fi
present "$@" || fail 70 "apt ended well, but not all of $* is installed"
verified "$version" $names || fail 70 "$(command -v "$name") says ${got:-nothing}, want $version: another $name is found before the package's"
restarted "$unit"
