# Makes a kubelet that runs report that its node is not ready: the runtime finds no
# configuration of the pods' network. $1: break or mend.
set -eu
here=/etc/cni/net.d aside=/var/lib/kup-lab/cni
case $1 in
break)
	mkdir -p "$aside"
	for file in "$here"/*.conflist; do
		[ ! -e "$file" ] || mv "$file" "$aside/"
	done
	;;
mend)
	for file in "$aside"/*.conflist; do
		[ ! -e "$file" ] || mv "$file" "$here/"
	done
	;;
esac
