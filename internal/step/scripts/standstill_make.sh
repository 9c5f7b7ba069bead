# Brings the node to a standstill and proves it: SOCKET UNIT MANIFESTS PODS PORTS ASIDE.
# Safe to run again from any point.
socket=$1 unit=$2 manifests=$3 pods=$4 ports=$5 aside=$6
stopped "$unit" || fail 75 "unit $unit is not stopped; it would start again what is stopped here"
[ -z "$pods" ] || cri info >/dev/null
umask 077
for manifest in $manifests; do
	[ -e "$manifest" ] || continue
	mkdir -p "$aside"
	mv -fT "$manifest" "$aside/${manifest##*/}"
done
sync
# What crictl says of a stop is not the proof: it gives up after some seconds of its own,
# and the runtime goes on.
for pod in $pods; do
	containers=$(runs "$pod") # a failure ends the script here, and not inside the loop's words
	for container in $containers; do
		echo "stop pod $pod"
		cri stop --timeout 30 "$container" >/dev/null || :
	done
	found=$(sandboxes "$pod")
	for sandbox in $found; do
		cri stopp "$sandbox" >/dev/null || :
	done
done
end=$(($(date +%s) + 60))
while :; do
	left=$(still "$unit" "$manifests" "$pods" "$ports")
	[ -n "$left" ] || exit 0
	[ "$(date +%s)" -lt "$end" ] || fail 75 "$(printf '%s' "$left" | tr '\n' ';')"
	sleep 1
done
