# Says whether only pods that are to be kept are up: SOCKET KEEP.
socket=$1 keep=$2
crictl --runtime-endpoint "$socket" info >/dev/null # the runtime answers, or this is the error
left=$(unknown)
if [ -z "$left" ]; then
	echo yes
else
	echo "no: $(echo "$left" | wc -l) pods are up that the snapshot does not know here"
fi
