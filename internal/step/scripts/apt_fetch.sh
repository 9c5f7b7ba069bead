# Downloads exact versions into apt's cache. Neither the node's own sources nor
# anything installed is changed.
file=$1 repository=$2 key=$3 lock=$4 downgrade=$5
shift 5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work" # apt reads as a user of its own

if present "$@"; then
	echo 'installed already'
	exit 0
fi

# The node's sources without the one of the old minor, plus the one of the new.
mkdir "$work/sources"
for source in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
	[ -f "$source" ] && [ "$source" != "$file" ] || continue
	case $source in
	*.list | *.sources) cp "$source" "$work/sources/" ;;
	esac
done
target=$work/sources/kup-${file##*/}
source_of "$file" "$repository" "$key" >"$target"
chmod 0644 "$work"/sources/*

refreshed "$target" "$repository" "$@"
# A copy of dpkg's database in which nothing that may move is on hold: what is on
# hold could not even be planned to move.
eval "$(apt-config shell database Dir::State::status/f)"
names=
for pin in "$@"; do names="$names ${pin%%=*}"; done
awk -v names="$names cri-tools kubernetes-cni" '
	BEGIN { count = split(names, list, " "); for (i = 1; i <= count; i++) moves[list[i]] = 1 }
	/^Package: / { package = $2 }
	/^Status: hold / && package in moves { sub(/hold/, "install") }
	{ print }' "$database" >"$work/status"

older=
[ "$downgrade" != true ] || older=--allow-downgrades
# $older is empty or one word.
unlocked apt-get install -y -q --download-only --no-install-recommends $older \
	-o "Dir::State::status=$work/status" -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources" \
	-o "DPkg::Lock::Timeout=$lock" "$@"
