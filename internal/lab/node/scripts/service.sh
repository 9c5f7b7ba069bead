# Ends and begins what this machine runs. $1: stop or start. $2: the kubelet, or a
# component of the control plane, which is its static pod.
set -eu
action=$1 name=$2
manifest=/etc/kubernetes/manifests/$name.yaml aside=/var/lib/kup-lab/stopped/$name.yaml

if [ "$name" = kubelet ]; then
	exec systemctl "$action" kubelet
fi
case $action in
stop)
	mkdir -p "${aside%/*}"
	[ ! -e "$manifest" ] || mv "$manifest" "$aside"
	tries=0
	while pgrep -x "$name" >/dev/null; do
		tries=$((tries + 1))
		[ "$tries" -le 90 ] || { echo "$name is still running" >&2; exit 1; }
		sleep 1
	done
	;;
start)
	[ -e "$aside" ] || exit 0
	# A manifest that was written meanwhile is the newer one.
	if [ -e "$manifest" ]; then rm "$aside"; else mv "$aside" "$manifest"; fi
	;;
esac
