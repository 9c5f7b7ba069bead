# Has the kubelet's unit refuse to start a kubelet of one minor. $1: break or mend. $2:
# what kubelet --version says of that minor, " v1.34.".
set -eu
dir=/etc/systemd/system/kubelet.service.d
file=$dir/99-kup-lab-refuse.conf
case $1 in
break)
	mkdir -p "$dir"
	cat >"$file" <<CONF
[Service]
ExecStartPre=/bin/sh -c "! /usr/bin/kubelet --version | grep -q -F '$2'"
CONF
	;;
mend) rm -f "$file" ;;
esac
systemctl daemon-reload
