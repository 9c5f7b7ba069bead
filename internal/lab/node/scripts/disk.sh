# Makes the disk below a directory full, and free again. A node's disk is that of
# the machine the lab runs on, so the directory is covered with a small one that
# holds what it held. $1: fill or free. $2: the directory.
set -eu
action=$1 directory=$2
case $action in
fill)
	! mountpoint -q "$directory" || exit 0
	mkdir -p "$directory"
	cover=$(mktemp -d)
	size=$(du -sk "$directory" | cut -f1)
	mount -t tmpfs -o "size=$((size + 1024))k,mode=0700" kup-lab-fault "$cover"
	cp -a "$directory/." "$cover/"
	dd if=/dev/zero of="$cover/.kup-lab-filler" bs=4096 2>/dev/null || :
	mount --bind "$cover" "$directory"
	umount "$cover"
	rmdir "$cover"
	;;
free)
	mountpoint -q "$directory" || exit 0
	rm -f "$directory/.kup-lab-filler"
	kept=$(mktemp -d)
	cp -a "$directory/." "$kept/"
	umount "$directory"
	find "$directory" -mindepth 1 -delete
	cp -a "$kept/." "$directory/"
	rm -rf "$kept"
	;;
esac
