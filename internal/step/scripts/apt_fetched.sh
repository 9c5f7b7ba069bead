# Says whether each pin is installed or in apt's cache.
eval "$(apt-config shell archives Dir::Cache::archives/d)"
for pin in "$@"; do
	name=${pin%%=*} version=${pin#*=}
	[ "$(installed "$name")" = "$version" ] && continue
	found=
	for file in "$archives/${name}_$(printf %s "$version" | sed 's/:/%3a/')"_*.deb; do
		[ ! -f "$file" ] || found=yes
	done
	if [ -z "$found" ]; then
		echo "no: $pin"
		exit 0
	fi
done
echo yes
