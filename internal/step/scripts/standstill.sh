# Functions of the scripts for a standstill. The caller sets $socket.

# cri asks the runtime. crictl by itself waits 2 s for an answer, which the end of a
# sandbox may well take.
cri() { crictl --runtime-endpoint "$socket" --timeout 2m "$@"; }

# stopped UNIT tells whether nothing of the unit is active or about to be.
stopped() {
	case $(systemctl is-active "$1" 2>/dev/null) in
	inactive | failed | unknown) ;;
	*) return 1 ;;
	esac
}

# runs NAME prints the running containers of the pod NAME in kube-system.
runs() {
	cri ps --quiet --state running \
		--label "io.kubernetes.pod.namespace=kube-system" --label "io.kubernetes.pod.name=$1"
}

# sandboxes NAME prints the sandboxes of the pod NAME in kube-system that are ready.
sandboxes() {
	cri pods --quiet --state ready \
		--label "io.kubernetes.pod.namespace=kube-system" --label "io.kubernetes.pod.name=$1"
}

# listens PORT tells whether anything on the host accepts connections on the port.
listens() {
	hexadecimal=$(printf "%04X" "$1")
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*:$hexadecimal [0-9A-F]*:0000 0A "
}

# still UNIT MANIFESTS PODS PORTS prints what does not stand still, nothing when all
# does. Lists are separated by newlines. What the runtime is asked is assigned first: an
# answer that fails must not count as an empty one.
still() {
	stopped "$1" || echo "unit $1 is $(systemctl is-active "$1" 2>/dev/null || :)"
	for manifest in $2; do
		[ ! -e "$manifest" ] || echo "$manifest is in its place"
	done
	for pod in $3; do
		found=$(runs "$pod")
		[ -z "$found" ] || echo "a container of pod $pod runs"
		found=$(sandboxes "$pod")
		[ -z "$found" ] || echo "the sandbox of pod $pod is up"
	done
	for port in $4; do
		! listens "$port" || echo "something listens on port $port"
	done
}
