# Says whether the node stands still and only pods that are to be kept are up: SOCKET
# UNIT MANIFESTS PODS PORTS KEEP.
socket=$1 keep=$6
cri info >/dev/null # the runtime answers, or this is the error
moves=$(still "$2" "$3" "$4" "$5")
left=$(unknown)
if [ -n "$moves" ]; then
	echo "no: $moves"
elif [ -z "$left" ]; then
	echo yes
else
	echo "no: $(echo "$left" | wc -l) pods are up that the snapshot does not know here"
fi
