# Writes standard input, SIZE bytes, to FILE, whole or not at all, and only where
# there is room for it: FILE SIZE.
umask 077
mkdir -p "${1%/*}"
rm -f "$1.part"
room "${1%/*}" "$2" 1048576 share
trap 'rm -f "$1.part"' EXIT
cat >"$1.part"
got=$(stat -c %s "$1.part")
[ "$got" = "$2" ] || fail 75 "$1 arrived with $got of $2 bytes"
sync
mv "$1.part" "$1"
