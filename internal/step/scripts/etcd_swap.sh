# Takes a member of an external etcd to another release: CACHE VERSION URL SUMS-URL FROM
# UNIT DATA DIRECTORY KEEP. May be run again at any point: what was set aside once is never
# set aside again, since by then the newer etcd may have written.
cache=$1 version=$2 from=$5 unit=$6 data=$7 directory=$8 keep=$9
release "$3" "$4"
[ -d "$data/member" ] || fail 72 "$data holds no member's data; correct dataDirectory in the inventory and make a new plan"
(umask 077 && mkdir -p "$keep")

if [ ! -d "$keep/bin" ]; then
	now=$(says "$directory/etcd")
	case $now in
	"$from" | "$version") ;;
	*) fail 70 "$directory/etcd says ${now:-nothing}, the plan expects $from" ;;
	esac
	if [ "$now" = "$from" ]; then
		rm -rf "$keep/bin.part"
		mkdir "$keep/bin.part"
		for program in $programs; do
			[ ! -f "$directory/$program" ] || cp -p "$directory/$program" "$keep/bin.part/$program"
		done
		sync
		mv "$keep/bin.part" "$keep/bin"
	fi
fi

if [ ! -d "$keep/data" ]; then
	rm -rf "$keep/data.part"
	need=$(du -sk "$data" | cut -f1)
	room=$(df -Pk "$keep" | awk 'END { print $4 }')
	[ "$room" -gt $((need + 65536)) ] || fail 73 "$keep has room for $room KiB, and $data takes $need; nothing was changed"
	stopped "$unit"
	# Where the file system can, the copy shares its blocks with the original.
	cp -a --reflink=auto "$data" "$keep/data.part"
	sync
	mv "$keep/data.part" "$keep/data"
fi

stopped "$unit"
placed "$directory" "$cache"
started "$unit"
now=$(says "$directory/etcd")
[ "$now" = "$version" ] || fail 70 "$directory/etcd says ${now:-nothing}, want $version"
