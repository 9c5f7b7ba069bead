# Downloads exact versions into dnf's cache. Neither the node's own repository
# files nor anything installed is changed.
file=$1 repository=$2 key=$3 downgrade=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if present "$@"; then
	echo 'installed already'
	exit 0
fi
for source in /etc/yum.repos.d/*.repo; do
	[ -f "$source" ] && [ "$source" != "$file" ] || continue
	cp "$source" "$work/"
done
source_of "$repository" "$key" false >"$work/kup-${file##*/}"
verb=install
[ "$downgrade" != true ] || verb=downgrade
download() {
	"$dnf" -y "$verb" --downloadonly --disableplugin=versionlock --disableexcludes=kubernetes \
		"--setopt=reposdir=$work" --setopt=install_weak_deps=False "$@" </dev/null ||
		fail 66 "$* could not be downloaded from $repository; check packages.repository and whether the version exists there"
}
wanted download "$@"
