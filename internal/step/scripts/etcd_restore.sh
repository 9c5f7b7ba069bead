# Sets a stopped member's data aside and restores a snapshot in their place. What it
# moves away it never deletes; an attempt that was cut short is cleaned up and done
# again.
programs=$1 version=$2 image=$3 socket=$4 bump=$5 snapshot=$6 sha256=$7
data=$8 aside=$9
shift 9
name=$1 peers=$2 members=$3 token=$4
umask 077
part=$data/kup-restore.part said=$data/kup-restore.log

! restored "$data" "$sha256" "$token" || exit 0
[ -f "$snapshot" ] || fail 66 "$snapshot is not there"
got=$(sha256sum <"$snapshot" | cut -d' ' -f1)
[ "$got" = "$sha256" ] || fail 65 "$snapshot has SHA-256 $got, recorded is $sha256"
mkdir -p "$data"
# A data directory may be a disk of its own: then only what lies in it can be renamed.
[ "$(df -Pk "$data" | tail -n 1 | cut -d% -f2)" = "$(df -Pk "${data%/*}/" | tail -n 1 | cut -d% -f2)" ] ||
	aside=$data/${aside##*/}
unused "$data/member/snap/db" ||
	fail 75 "etcd still runs on $data; its data are not touched while it does"
rm -rf "$part"
room "$data" "$(stat -c %s "$snapshot")" 262144
brought "$programs" "$version" "$image" "$socket" "$bump"

set -- --name "$name" --initial-advertise-peer-urls "$peers" --initial-cluster "$members" \
	--initial-cluster-token "$token" --data-dir "$part"
[ -z "$bump" ] || set -- "$@" --bump-revision "$bump" --mark-compacted
code=0
restores "$programs" "$snapshot" "$@" >"$said" 2>&1 || code=$?
judged "$code" "$said" "restore $snapshot with etcd $version"
[ -f "$part/member/snap/db" ] || fail 75 "the restore of $snapshot left no data in $part"

like=$data
for old in "$aside" "$data/member"; do
	[ ! -d "$old" ] || like=$old
done
chown -R "$(stat -c %u:%g "$like")" "$part/member"
chmod "$(stat -c %a "$like")" "$part/member"
if [ -d /sys/fs/selinux ] && command -v chcon >/dev/null; then
	chcon -R --reference="$like" "$part/member"
fi
echo "$sha256 $token" >"$part/member/kup-restored"
sync
# The old data leave at the last moment, so that until then the member is as it was.
if [ -e "$data/member" ]; then
	place=$aside
	n=1
	while [ -e "$place" ]; do
		n=$((n + 1))
		place=$aside.$n
	done
	mv -T "$data/member" "$place"
fi
mv -T "$part/member" "$data/member"
sync
rm -rf "$part" "$said"
