# Prints the certificates that kubeadm manages on this host, without their keys.
export LC_ALL=C
exec 2>/dev/null </dev/null

part() { printf '\n#kup:part %s\n' "$1"; }

public() { sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/p' "$@"; }

# Where the API server finds its own is where kubeadm keeps them.
pki=$(sed -n 's/^ *- --tls-cert-file=\(.*\)\/apiserver\.crt$/\1/p' /etc/kubernetes/manifests/kube-apiserver.yaml)
pki=${pki:-/etc/kubernetes/pki}

for name in apiserver apiserver-kubelet-client apiserver-etcd-client front-proxy-client etcd/server etcd/peer etcd/healthcheck-client; do
	[ -f "$pki/$name.crt" ] || continue
	part "certificate $name"
	public "$pki/$name.crt"
done
for name in admin.conf super-admin.conf controller-manager.conf scheduler.conf; do
	[ -f "/etc/kubernetes/$name" ] || continue
	part "certificate $name"
	sed -n 's/^ *client-certificate-data: *//p' "/etc/kubernetes/$name" | tr -d '"' | base64 -d | public
done
for name in ca front-proxy-ca etcd/ca; do
	[ -f "$pki/$name.crt" ] || continue
	[ -f "$pki/$name.key" ] && key=present || key=absent
	part "ca $name"
	echo "$key"
done
exit 0 # a file that is absent is an answer
