# Restores a snapshot aside with the cluster's own etcd, starts that etcd on what it
# made, asks it what it holds and removes everything again: once as it is, to compare
# it, and, where the etcd knows how, once with the revision raised, as a restore of
# the cluster does. The etcd runs in a network of its own, which nobody else reaches.
work=$1 programs=$2 version=$3 image=$4 socket=$5 bump=$6 snapshot=$7 sha256=$8
shift 8
revision=$1 keys=$2 hashrevision=$3 compacted=$4 hash=$5
umask 077
rm -rf "$work"
[ -f "$snapshot" ] || fail 75 "$snapshot is not there"
got=$(sha256sum <"$snapshot" | cut -d' ' -f1)
[ "$got" = "$sha256" ] || fail 75 "$snapshot has SHA-256 $got here, recorded is $sha256"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
room "$work" "$(stat -c %s "$snapshot")" 1048576 share
brought "$programs" "$version" "$image" "$socket" ''

# asked DATA HASHREVISION COMPACTED starts etcd on DATA and prints what it answers:
# the revision, how many keys live, and, at HASHREVISION, hash and compacted revision.
asked='
at=http://127.0.0.1:2379 peer=http://127.0.0.1:2380
ip link set lo up || exit 75
"$1/etcd" --name kup --data-dir "$2" --listen-client-urls "$at" --advertise-client-urls "$at" \
	--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "kup=$peer" >"$3/etcd.log" 2>&1 &
etcd=$!
trap "kill $etcd 2>/dev/null || :; wait $etcd || :" EXIT
ctl() { ETCDCTL_API=3 "$programs/etcdctl" --endpoints "$at" --command-timeout 60s "$@"; }
programs=$1
tries=0
until ctl endpoint health >/dev/null 2>&1; do
	tries=$((tries + 1))
	kill -0 "$etcd" 2>/dev/null || exit 66
	[ "$tries" -lt 120 ] || exit 67
	sleep 1
done
ctl get "" --prefix --count-only -w fields >"$3/count"
[ "$4" = 0 ] || {
	ctl endpoint hashkv --rev "$4" -w json >"$3/hash"
	had=$(sed -n "s/.*\"compact_revision\":\"\{0,1\}\(-\{0,1\}[0-9]*\).*/\1/p" "$3/hash")
	[ "${had:-0}" -ge "$5" ] || {
		ctl compaction --physical "$5" >/dev/null
		ctl endpoint hashkv --rev "$4" -w json >"$3/hash"
	}
}'

# tried BUMP HASHREVISION restores and asks.
tried() {
	rm -rf "$work/data"
	set -- "$@" "$work/data" "$snapshot" --name kup --initial-cluster kup=http://127.0.0.1:2380 \
		--initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster-token kup-rehearsal
	raise=$1 at=$2 into=$3
	shift 3
	[ "$raise" = 0 ] || set -- "$@" --bump-revision "$raise" --mark-compacted
	code=0
	restores "$programs" "$@" --data-dir "$into" >"$work/restore.log" 2>&1 || code=$?
	judged "$code" "$work/restore.log" "etcd $version cannot restore the snapshot"
	code=0
	unshare -n sh -euc "$asked" kup "$programs" "$into" "$work" "$at" "$compacted" 2>"$work/ask.log" || code=$?
	case $code in
	0) ;;
	66) judged 1 "$work/etcd.log" "etcd $version ends on what it restored" ;;
	67) fail 75 "etcd $version was not ready on what it restored within two minutes" ;;
	*) fail 75 "ask the restored etcd: exit code $code: $(head -n 1 "$work/ask.log")" ;;
	esac
	rm -rf "$into"
}

# field NAME FILE is a number that etcdctl wrote, as fields or JSON; 0 when it is not
# there.
field() {
	number=$(sed -n "s/.*\"$1\" \{0,1\}: \{0,1\}\"\{0,1\}\(-\{0,1\}[0-9]*\).*/\1/p" "$2" | head -n 1)
	echo "${number:-0}"
}

# same WHAT GOT WANT compares; nothing is compared with 0.
same() { [ "$3" = 0 ] || [ "$2" = "$3" ] || fail 65 "restored by etcd $version the snapshot has $1 $2, recorded is $3"; }

tried 0 "$hashrevision"
is=$(field Revision "$work/count") has=$(field Count "$work/count")
same revision "$is" "$revision"
same "this many keys:" "$has" "$keys"
if [ "$hashrevision" != 0 ] && [ "$(field compact_revision "$work/hash")" = "$compacted" ]; then
	same "at revision $hashrevision the hash" "$(field hash "$work/hash")" "$hash"
fi
if [ -n "$bump" ]; then
	tried "$bump" 0
	raised=$(field Revision "$work/count")
	[ "$raised" -ge $((is + bump)) ] || fail 65 "restored by etcd $version with the revision raised by $bump the snapshot is at $raised, not at $((is + bump))"
	same "this many keys with the revision raised:" "$(field Count "$work/count")" "$has"
fi
echo "with $(cat "$programs/from")"
echo "revision $is"
echo "keys $has"
