# Takes a member of an external etcd back to the programs that a swap kept: VERSION UNIT
# DATA DIRECTORY KEEP WITH, which is own (the member's own data) or none (it starts empty, as
# a member that was added anew), then, with none, the initial cluster. May be run again at
# any point.
version=$1 unit=$2 data=$3 directory=$4 keep=$5 with=$6

# untouched tells whether the newer etcd wrote nothing to the member's log of the Raft
# protocol: then it promised and acknowledged nothing, and the copy of before the swap is
# as good as the data themselves. A log that lies elsewhere was not copied.
untouched() {
	set -- "$keep"/data/member/wal/*.wal
	[ -f "$1" ] || return 1
	for file in "$@"; do
		cmp -s "$file" "$data/member/wal/${file##*/}" || return 1
	done
	for file in "$data"/member/wal/*.wal; do
		[ -f "$keep/data/member/wal/${file##*/}" ] || return 1
	done
}

# own gives the member the copy back where that is safe, and leaves it what it has else.
own() {
	if [ -d "$data/member.kup" ] && [ ! -e "$data/member" ]; then
		mv "$data/member.kup" "$data/member" # an earlier attempt ended here
		return 0
	fi
	untouched || return 0
	rm -rf "$data/member.kup" "$data/member.refused"
	cp -a --reflink=auto "$keep/data/member" "$data/member.kup"
	sync
	mv "$data/member" "$data/member.refused"
	mv "$data/member.kup" "$data/member"
}

# nothing leaves the member no data and tells it, for its first start, which cluster it joins.
nothing() {
	initial=$1
	if [ -e "$data/member" ] && [ ! -e "$keep/emptied" ]; then
		rm -rf "$keep/suspect"
		mkdir "$keep/suspect"
		cp -a --reflink=auto "$data/member" "$keep/suspect/" || fail 73 "$keep has no room for the data of $data"
		rm -rf "$data/member"
		: >"$keep/emptied"
	fi
	mkdir -p "/run/systemd/system/$unit.d"
	printf '[Service]\nEnvironmentFile=/run/kup-etcd.env\n' >"/run/systemd/system/$unit.d/zz-kup.conf"
	printf 'ETCD_INITIAL_CLUSTER=%s\nETCD_INITIAL_CLUSTER_STATE=existing\n' "$initial" >/run/kup-etcd.env
}

[ -f "$keep/bin/etcd" ] && now=$(says "$keep/bin/etcd") && [ "$now" = "$version" ] ||
	fail 66 "$keep/bin holds no etcd $version: nothing was set aside there; install etcd $version in $directory by hand"
if [ "$with" = none ] && systemctl show -p ExecStart "$unit" | grep -Eq -- '--(initial-cluster|config-file)'; then
	fail 74 "unit $unit gives --initial-cluster or --config-file on its command line, which kup does not change: empty $data there, set initial-cluster to $7 and initial-cluster-state to existing, install the programs in $keep/bin and start it"
fi
stopped "$unit"
case $with in
own) own ;;
none) nothing "$7" ;;
esac
placed "$directory" "$keep/bin"
started "$unit"
now=$(says "$directory/etcd")
[ "$now" = "$version" ] || fail 70 "$directory/etcd says ${now:-nothing}, want $version"
if [ "$with" = none ]; then
	rm -f "/run/systemd/system/$unit.d/zz-kup.conf" /run/kup-etcd.env
	systemctl daemon-reload
fi
# The member goes on from here: a later swap sets its data aside anew.
rm -rf "$keep/data" "$keep/bin" "$keep/emptied" "$data/member.refused" "$data/member.kup"
