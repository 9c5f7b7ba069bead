# Stops the unit of an etcd member that leaves: KEEP UNIT DATA-DIR ID PEER-URL. Its data
# stay where they are until etcd knows that it left: a host that boots in between starts it
# as it was. What keeps kup from starting it empty later is found out first.
keep=$1 unit=$2 data=$3 id=$4 peer=$5
umask 077
if systemctl show -p ExecStart "$unit" | grep -Eq -- '--(initial-cluster|config-file|wal-dir)'; then
	fail 74 "unit $unit gives --initial-cluster, --config-file or --wal-dir on its command line, which kup does not change: take the member out and in again by hand, see docs/disaster-recovery.md; nothing was changed"
fi
[ ! -e "$data/member" ] || [ -d "$data/member/wal" ] ||
	fail 65 "$data/member has no log, which lies elsewhere then: kup does not set it aside; nothing was changed"
mkdir -p "$keep"
echo "$id $peer" >"$keep/left~"
sync "$keep/left~" 2>/dev/null || sync
mv -f "$keep/left~" "$keep/left"
stopped "$unit"
