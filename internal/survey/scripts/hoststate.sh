# Prints what an upgrade depends on of a machine and its system. Reads only. What a
# host cannot tell is left out, so that nobody takes silence for a fault.
# $1: the runtime's socket, may be empty.
# $2: the runtime's sandbox image, may be empty.
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin"
exec 2>/dev/null </dev/null

part() { printf '\n#kup:part %s\n' "$1"; }

# settings prints the fields of a KubeletConfiguration that kup judges, and nothing
# else of it.
settings() {
	awk '/^[^ #-]/ { on = /^(cgroupDriver|failSwapOn|failCgroupV1|evictionHard):/ } on'
}

part clock
date +%s.%N

part hostname
uname -n
part cgroup
stat -fc %T /sys/fs/cgroup
ls -d /sys/fs/cgroup/memory
part swaps
cat /proc/swaps

part kubelet
if [ -f /var/lib/kubelet/config.yaml ]; then
	echo '# config.yaml'
	settings </var/lib/kubelet/config.yaml
fi
part overrides
pid=$(systemctl show -p MainPID kubelet | sed -n 's/^MainPID=//p')
{
	grep -hv '^ *#' /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet | tr '" ' '\n\n'
	[ "${pid:-0}" = 0 ] || tr '\000' '\n' <"/proc/$pid/cmdline"
} | sed -n -e 's/^[A-Z_]*=--/--/' -e 's/^--\(fail-swap-on\)\(=.*\)\{0,1\}$/\1 \2/p' \
	-e 's/^--\(fail-cgroupv1\)\(=.*\)\{0,1\}$/\1 \2/p' -e 's/^--\(cgroup-driver\)=/\1 =/p' -e 's/^--\(eviction-hard\)=/\1 =/p'
part next
if [ -f /etc/kubernetes/admin.conf ]; then
	# --raw keeps kubectl from writing its cache of the API. What comes is JSON on one
	# line; the file is the string after "kubelet", up to the first bare quote.
	config=$(kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s get --raw /api/v1/namespaces/kube-system/configmaps/kubelet-config |
		sed -n 's/.*"data":{"kubelet":"//p' | sed -e 's/\([^\\]\)".*/\1/' -e "s/\\\\\"/'/g" -e 's/\\n/\
/g')
	if [ -n "$config" ]; then
		echo '# kubelet-config'
		printf '%s\n' "$config" | settings
	fi
fi
part flags
if [ -f /var/lib/kubelet/kubeadm-flags.env ]; then
	echo present
	sed -n 's/^KUBELET_KUBEADM_ARGS=//p' /var/lib/kubelet/kubeadm-flags.env | tr '" ' '\n\n' | sed -n 's/^--\([a-z0-9-]*\).*/\1/p'
fi
part instance
[ ! -f /var/lib/kubelet/instance-config.yaml ] || echo present
part unit
systemctl show -p ActiveState -p SubState -p UnitFileState kubelet

part containerd
containerd config dump | awk '$1 == "default_runtime_name" { print "runtime", $3 }
	/^ *\[/ { options = index($0, "runtimes.runc.options]") }
	options && $1 == "SystemdCgroup" { print "systemd", $3 }'
part crio
crio config | sed -n 's/^ *cgroup_manager *= *"\([a-z]*\)".*/\1/p'
part docker
docker info --format '{{.CgroupDriver}}'
part crictl
if command -v crictl >/dev/null; then echo yes; else echo no; fi
part sandbox
[ -z "$2" ] || crictl ${1:+--runtime-endpoint "$1"} inspecti -o json "$2" | sed -n 's/.*"pinned": *\([a-z]*\).*/\1/p'

images=
for path in /var/lib/containerd /var/lib/containers /var/lib/docker /; do
	if [ -d "$path" ]; then
		images=$path
		break
	fi
done
part images
echo "$images"
part disks
for path in / /etc/kubernetes /var/lib/etcd /var/lib/kubelet /var/cache "$images"; do
	[ -e "$path" ] || continue
	df -Pk "$path" | awk -v path="$path" 'END { print "space", path, $2, $4, $6 }'
	df -Pi "$path" | awk -v path="$path" 'END { if ($2 ~ /^[0-9]+$/ && $4 ~ /^[0-9]+$/) print "inodes", path, $2, $4 }'
done

part forward
cat /proc/sys/net/ipv4/ip_forward
part forward6
cat /proc/sys/net/ipv6/conf/default/forwarding

part reboot
ls /run/reboot-required /var/run/reboot-required
part managers
for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/rpm/.rpm.lock /usr/lib/sysimage/rpm/.rpm.lock; do
	inode=$(stat -c %i "$lock") || continue
	sed -n "s/^[^>]* \([0-9][0-9]*\) [0-9a-f]*:[0-9a-f]*:$inode .*/\1/p" /proc/locks | while read -r pid; do
		grep -E '^(apt|dpkg|aptitude|unattended|packagekit|dnf|yum|rpm|zypper)' "/proc/$pid/comm"
	done
done
part halfway
dpkg-query -W -f='${db:Status-Status} ${db:Status-Eflag} ${Package}\n' |
	awk '$1 == "half-installed" || $1 == "unpacked" || $1 == "half-configured" || $2 == "reinst-required" { print $3 }'
part interrupted
ls /var/lib/dpkg/updates | grep '^[0-9]'
part automatic
if command -v unattended-upgrade >/dev/null && systemctl is-enabled --quiet apt-daily-upgrade.timer; then
	apt-config shell upgrade APT::Periodic::Unattended-Upgrade reboot Unattended-Upgrade::Automatic-Reboot | tr -d "'"
fi
if systemctl is-enabled --quiet dnf-automatic-install.timer ||
	{ systemctl is-enabled --quiet dnf-automatic.timer && grep -Eq '^ *apply_updates *= *(yes|true|1) *$' /etc/dnf/automatic.conf; }; then
	echo dnf
	sed -n 's/^ *reboot *= *\(when-[a-z]*\).*/\1/p' /etc/dnf/automatic.conf
fi

part references
for file in /etc/kubernetes/manifests/*.yaml /etc/kubernetes/manifests/*.yml; do
	[ -f "$file" ] || continue
	if grep -Eq -e '^ *(- )?serviceAccount(Name)?: *[A-Za-z0-9]' -e \
		'^ *(- )?(secret|configMap|secretKeyRef|configMapKeyRef|secretRef|configMapRef|imagePullSecrets|persistentVolumeClaim|serviceAccountToken|clusterTrustBundle|podCertificate|resourceClaims|ephemeral|csi|glusterfs|azureFile): *(\{.*)?$' "$file"; then
		echo "$file"
	fi
done
part etcd
if [ -f /etc/kubernetes/manifests/etcd.yaml ]; then
	echo present
	sed -n -e 's/^ *- --quota-backend-bytes=/quota /p' -e 's/^ *- --data-dir=/data /p' -e \
		's/^ *- --wal-dir=/wal /p' -e 's/^ *schedulerName: .*/defaulted/p' /etc/kubernetes/manifests/etcd.yaml
fi
part clock-end
date +%s.%N
exit 0 # a file that is absent is an answer
