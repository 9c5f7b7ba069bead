# Stops the pods that are not to be kept and proves it: KEEP GRACE. All at once: each may
# take its grace, and the API is away meanwhile.
keep=$1 grace=$2
cri info >/dev/null

# named SANDBOX prints which pod it is.
named() {
	said=$(about "$1")
	echo "$(echo "$said" | field io.kubernetes.pod.namespace)/$(echo "$said" | field io.kubernetes.pod.name)"
}

# end SANDBOX lets the containers of a pod end, and then takes the pod down.
end() {
	for container in $(cri ps --quiet --pod "$1"); do
		cri stop --timeout "$grace" "$container" >/dev/null &
	done
	wait
	cri stopp "$1" >/dev/null
}

surplus=$(unknown)
for sandbox in $surplus; do
	echo "stop pod $(named "$sandbox")"
	end "$sandbox" &
done
wait
# The runtime goes on with what crictl gave up waiting for.
until=$(($(date +%s) + 60))
while :; do
	left=$(unknown)
	[ -n "$left" ] || exit 0
	[ "$(date +%s)" -lt "$until" ] || fail 75 "these pods could not be stopped: $(for sandbox in $left; do named "$sandbox"; done | tr '\n' ' ')"
	sleep 1
done
