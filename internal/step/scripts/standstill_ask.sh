# Says whether the node stands still: SOCKET UNIT MANIFESTS PODS PORTS.
socket=$1
[ -z "$4" ] || cri info >/dev/null # the runtime answers, or this is the error
left=$(still "$2" "$3" "$4" "$5")
if [ -z "$left" ]; then
	echo yes
else
	echo "no: $left"
fi
