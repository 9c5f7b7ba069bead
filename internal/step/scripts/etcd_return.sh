# Takes a member of an external etcd back to the programs that a swap kept, on its own data:
# VERSION UNIT DATA DIRECTORY KEEP JUDGED. That it does not start is an error, unless JUDGED
# says that a later step judges its data. May be run again at any point.
version=$1 unit=$2 data=$3 directory=$4 keep=$5 judged=$6

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

[ -f "$keep/bin/etcd" ] && now=$(says "$keep/bin/etcd") && [ "$now" = "$version" ] ||
	fail 66 "$keep/bin holds no etcd $version: nothing was set aside there; install etcd $version in $directory by hand"
stopped "$unit"
own
placed "$directory" "$keep/bin"
code=0
(started "$unit") || code=$?
[ "$code" = 0 ] || [ -n "$judged" ] || exit "$code"
now=$(says "$directory/etcd")
[ "$now" = "$version" ] || fail 70 "$directory/etcd says ${now:-nothing}, want $version"
# The member goes on from here: a later swap sets its data aside anew. One that did not
# start keeps all that was set aside, until its data were judged.
[ "$code" != 0 ] || rm -rf "$keep/data" "$keep/bin" "$data/member.refused" "$data/member.kup"
