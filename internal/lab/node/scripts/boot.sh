# First program of a node, before the image's own entry point ($0). Containers see
# the boot id of the machine they run on, which outlives them: every start of a node
# gets one of its own.
set -eu
cat /proc/sys/kernel/random/uuid >/run/kup-lab-boot-id
chmod 0444 /run/kup-lab-boot-id
mount --bind /run/kup-lab-boot-id /proc/sys/kernel/random/boot_id ||
	echo 'this node keeps the boot id of the machine it runs on' >&2
exec "$0"
