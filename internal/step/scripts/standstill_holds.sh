# Proves, right before what follows it, that the node still stands still; whoever runs
# this may have come back long after the proof. It takes its parameters away: SOCKET
# UNIT MANIFESTS PODS PORTS.
socket=$1
[ -z "$4" ] || cri info >/dev/null
left=$(still "$2" "$3" "$4" "$5")
[ -z "$left" ] || fail 75 "the node does not stand still any more: $(printf '%s' "$left" | tr '\n' ';'); find out what started it, stop it (systemctl stop $2; move manifests out of their directory), then: kup rollback"
shift 5
