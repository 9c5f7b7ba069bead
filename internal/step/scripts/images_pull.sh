# Pulls one image into the runtime at SOCKET.
socket=$1 image=$2
if command -v crictl >/dev/null; then
	exec crictl --runtime-endpoint "$socket" pull "$image"
fi
# ctr does not read the mirrors of the runtime's own configuration.
set -- "$image"
[ ! -d /etc/containerd/certs.d ] || set -- --hosts-dir /etc/containerd/certs.d "$image"
exec ctr --address "${socket#unix://}" -n k8s.io images pull "$@"
