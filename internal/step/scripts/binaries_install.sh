# Installs binaries: NAME URL CHECKSUM-URL, again and again. Each is replaced whole,
# where it is found today.
cache=$1 version=$2 unit=$3
shift 3
while [ $# -gt 0 ]; do
	download "$1" "$2" "$3"
	place=$(command -v "$1" || echo "/usr/local/bin/$1")
	place=$(readlink -f "$place")
	install -m 0755 "$cache/$1" "$place.kup~"
	sync "$place.kup~" 2>/dev/null || sync
	mv -f "$place.kup~" "$place"
	verified "$version" "$1" || fail 70 "$place says ${got:-nothing}, want $version"
	shift 3
done
restarted "$unit"
