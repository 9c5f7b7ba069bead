# Prints the images that the runtime at SOCKET does not have.
socket=$1
shift
if command -v crictl >/dev/null; then
	crictl --runtime-endpoint "$socket" info >/dev/null # the runtime answers, or this is the error
	for image in "$@"; do
		crictl --runtime-endpoint "$socket" inspecti -q "$image" >/dev/null 2>&1 || echo "$image"
	done
elif command -v ctr >/dev/null; then
	have=$(ctr --address "${socket#unix://}" -n k8s.io images list -q)
	for image in "$@"; do
		printf '%s\n' "$have" | grep -qxF -- "$image" || echo "$image"
	done
else
	echo 'kup: neither crictl nor ctr is on PATH; install cri-tools' >&2
	exit 69
fi
