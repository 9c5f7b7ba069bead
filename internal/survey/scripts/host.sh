# Prints what a host says of itself. Reads only. Secrets stay behind: of
# certificates the public part is printed, of configuration single values.
# $1: the patches directory, may be empty.
# $2: the runtime's socket, may be empty.
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin"
exec 2>/dev/null </dev/null

part() { printf '\n#kup:part %s\n' "$1"; }

# space PATH prints the path, and size and free space of its file system in KiB.
space() {
	at=$1
	until [ -e "$at" ]; do at=$(dirname "$at"); done
	df -Pk "$at" | awk -v path="$1" 'END { print path, $2, $4 }'
}

part boot
cat /proc/sys/kernel/random/boot_id

part kubeadm
kubeadm version -o short
part kubelet
kubelet --version
part kubectl
kubectl version --client -o yaml | sed -n 's/^ *gitVersion: *//p'

part packages
if command -v dpkg-query >/dev/null; then
	dpkg-query -W -f='${db:Status-Want} ${db:Status-Status} ${Package} ${Version}\n' kubeadm kubelet kubectl cri-tools kubernetes-cni |
		sed -n 's/^\([a-z]*\) installed /\1 /p'
elif command -v rpm >/dev/null; then
	# Held by the versionlock plugin, or excluded in the configuration.
	locked=$(cat /etc/dnf/plugins/versionlock.list /etc/yum/pluginconf.d/versionlock.list
		sed -n 's/^ *exclude\(pkgs\)\{0,1\} *= *//p' /etc/dnf/dnf.conf /etc/yum.conf /etc/yum.repos.d/*.repo)
	for name in kubeadm kubelet kubectl cri-tools kubernetes-cni; do
		version=$(rpm -q --qf '%{VERSION}-%{RELEASE}' "$name") || continue
		want=install
		printf '%s\n' "$locked" | grep -Eq "(^|[ ,:])$name([ ,-]|\$)" && want=hold
		echo "$want $name $version"
	done
fi

part disk
for path in / /etc/kubernetes /var/lib/etcd /var/lib/kubelet /var/lib/kup /var/cache; do
	space "$path"
done
part images
for path in /var/lib/containerd /var/lib/containers /var/lib/docker /; do
	[ -d "$path" ] || continue
	space "$path"
	break
done

part sandbox
crictl ${2:+--runtime-endpoint "$2"} info | sed -n 's/.*"sandboxImage": *"\([^"]*\)".*/\1/p'
containerd config dump | sed -n "s/^ *sandbox\(_image\)\{0,1\} = [\"']\([^\"']*\)[\"'].*/\2/p"
crio config | sed -n 's/^ *pause_image = "\([^"]*\)".*/\1/p'

part socket
cat /var/lib/kubelet/instance-config.yaml /var/lib/kubelet/kubeadm-flags.env |
	sed -n 's/.*[Cc]ontainer-\{0,1\}[Rr]untime-\{0,1\}[Ee]ndpoint[=:] *"\{0,1\}\([^" ]*\).*/\1/p'

part patches
[ -z "$1" ] || [ ! -d "$1" ] || echo present

manifests=/etc/kubernetes/manifests
part apiserver
sed -n -e 's/^ *image: */image /p' -e 's/^ *kubeadm\.kubernetes\.io\/kube-apiserver\.advertise-address\.endpoint: */endpoint /p' \
	-e 's/^ *- --advertise-address=/address /p' -e 's/^ *- --secure-port=/port /p' $manifests/kube-apiserver.yaml
part etcd
sed -n 's/^ *image: */image /p' $manifests/etcd.yaml
exit 0 # a file that is absent is an answer
