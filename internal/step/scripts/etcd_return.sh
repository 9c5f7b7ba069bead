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

# forget removes what was set aside. Cut short, it leaves each part whole or gone: a part
# of a store must not be taken for one by whoever comes next.
forget() {
	for part in data bin; do
		rm -rf "$keep/$part.gone"
		[ ! -e "$keep/$part" ] || mv "$keep/$part" "$keep/$part.gone"
	done
	sync
	rm -rf "$keep/data.gone" "$keep/bin.gone" "$data/member.refused" "$data/member.kup"
}

code=0
if [ -e "$keep/bin" ]; then
	now=$(says "$keep/bin/etcd") || :
	[ "$now" = "$version" ] ||
		fail 66 "$keep/bin holds no etcd $version, but ${now:-nothing}; install etcd $version in $directory by hand"
	stopped "$unit"
	own
	placed "$directory" "$keep/bin"
	(started "$unit") || code=$?
else
	# The swap never came so far, or an earlier attempt was as good as over.
	now=$(says "$directory/etcd") || :
	[ "$now" = "$version" ] ||
		fail 66 "$keep/bin is not there, and $directory/etcd says ${now:-nothing}: nothing was set aside there; install etcd $version in $directory by hand"
	systemctl is-active --quiet "$unit" || (started "$unit") || code=$?
fi
[ "$code" = 0 ] || [ -n "$judged" ] || exit "$code"
now=$(says "$directory/etcd")
[ "$now" = "$version" ] || fail 70 "$directory/etcd says ${now:-nothing}, want $version"
# The member goes on from here: a later swap sets its data aside anew. One that did not
# start keeps all that was set aside, until its data were judged.
[ "$code" != 0 ] || forget
