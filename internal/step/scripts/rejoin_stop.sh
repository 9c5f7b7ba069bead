# Stops an etcd member for good and sets its data aside, where they stay: KEEP RUN
# MANIFEST DATA-DIR ID PEER-URL SECONDS. Safe to run again until the member is empty
# and started.
keep=$1 run=$2 manifest=$3 data=$4 id=$5 peer=$6 patience=$7
umask 077
mkdir -p "$keep"
if [ ! -f "$keep/${manifest##*/}" ]; then
	[ -f "$manifest" ] || fail 65 "$manifest is missing; nothing was changed"
	! grep -q -e '--wal-dir=' "$manifest" || fail 65 "$manifest names a directory of its own for the log (--wal-dir), which kup does not set aside; nothing was changed"
	grep -q -E -e "--data-dir=$data/?[\"']?[[:space:]]*\$" "$manifest" || fail 65 "$manifest does not have the member's data in $data (--data-dir); nothing was changed"
	cp -p "$manifest" "$keep/manifest~"
	sync "$keep/manifest~" 2>/dev/null || sync
	mv -f "$keep/manifest~" "$keep/${manifest##*/}"
fi
echo "$id $peer" >"$keep/left~"
sync "$keep/left~" 2>/dev/null || sync
mv -f "$keep/left~" "$keep/left"
rm -f "$manifest"

# at_work tells whether the member's process is there. The host may run other etcds, in
# containers with a directory of that name of their own, too.
at_work() {
	for process in /proc/[0-9]*; do
		{ read -r name <"$process/comm"; } 2>/dev/null || continue
		[ "$name" = etcd ] && tr '\000' '\n' 2>/dev/null <"$process/cmdline" | grep -qxE -e "--data-dir=$data/?" || continue
		if [ "$process/root$data" -ef "$data" ]; then return 0; fi
	done
	return 1
}

# The kubelet looks at its manifests every 20 s at the latest, and until then it would
# start again what ended: it must be away for longer.
end=$(($(date +%s) + patience)) away=0
while [ "$away" -lt 25 ]; do
	if at_work; then
		away=0
	else
		away=$((away + 1))
	fi
	[ "$(date +%s)" -lt "$end" ] || fail 71 "etcd still runs ${patience}s after its manifest was taken away; is the kubelet running? The manifest is in $keep"
	sleep 1
done

aside=$data/member.kup-$run
if [ -e "$data/member" ]; then
	unused "$data/member/snap/db" ||
		fail 71 "some etcd still has $data/member/snap/db open; its data are not touched while it does. The manifest is in $keep"
	[ ! -e "$aside" ] || fail 65 "both $data/member and $aside exist; one of them is not kup's"
	mv -T "$data/member" "$aside"
	sync
fi
[ -e "$aside" ] || fail 65 "$data/member is missing, and there is no $aside"
echo "the data of before are in $aside"
