# Starts the member, empty, as one that joins: KEEP MANIFEST INITIAL-CLUSTER.
keep=$1 manifest=$2 cluster=$3
umask 077
awk -v cluster="$cluster" '
	/^ *- --initial-cluster-state=/ { next }
	/^ *- --initial-cluster=/ {
		sub(/--.*/, "")
		print $0 "--initial-cluster=" cluster
		print $0 "--initial-cluster-state=existing"
		next
	}
	{ print }' "$keep/${manifest##*/}" >"$keep/joining"
grep -q -e '--initial-cluster-state=existing' "$keep/joining" ||
	fail 65 "${manifest##*/} has no argument --initial-cluster that kup could change; it is in $keep, and the member is announced to the others: start it by hand with --initial-cluster=$cluster --initial-cluster-state=existing"
if ! cmp -s "$keep/joining" "$manifest"; then
	# The kubelet reads whatever appears among the manifests.
	temp=${manifest%/*/*}/.${manifest##*/}.kup~
	cp "$keep/joining" "$temp"
	chmod 0600 "$temp"
	if command -v restorecon >/dev/null && command -v selinuxenabled >/dev/null && selinuxenabled; then
		restorecon "$temp"
	fi
	sync "$temp" 2>/dev/null || sync
	mv -f "$temp" "$manifest"
fi
