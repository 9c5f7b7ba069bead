# Says whether each pin is installed or in dnf's cache.
for pin in "$@"; do
	! present "$pin" || continue
	if ! find /var/cache/dnf /var/cache/libdnf5 /var/cache/yum -name "${pin%%=*}-${pin#*=}.*.rpm" 2>/dev/null | grep -q .; then
		echo "no: $pin"
		exit 0
	fi
done
echo yes
