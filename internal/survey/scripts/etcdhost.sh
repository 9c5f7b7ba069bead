# Prints what the host of an external etcd's member says of itself. Reads only, and of
# files nothing but their names: units and environment files may hold secrets.
# $1: the unit. $2: the data directory. The others: files the unit is said to read.
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin"
exec 2>/dev/null </dev/null
unit=$1 data=$2
shift 2

part() { printf '\n#kup:part %s\n' "$1"; }

# shown PROPERTY prints it as systemd has it.
shown() { systemctl show -p "$1" "$unit" | sed -n "s/^$1=//p"; }

part boot
cat /proc/sys/kernel/random/boot_id
part arch
uname -m
part os
sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release
part kernel
uname -r

part state
shown ActiveState
part binary
binary=$(shown ExecStart | sed -n 's/^{ path=\([^ ;]*\) .*/\1/p' | head -n 1)
[ -z "$binary" ] || readlink -f "$binary"
part version
[ -z "$binary" ] || "$binary" --version | sed -n 's/^etcd Version: *\([0-9.]*\).*/v\1/p'

part files
{
	shown FragmentPath
	shown DropInPaths | tr ' ' '\n'
	shown EnvironmentFiles | sed 's/ (ignore_errors=.*//'
	for file; do printf '%s\n' "$file"; done
} | grep '^/' | sort -u | while read -r file; do
	[ ! -e "$file" ] || printf '%s\n' "$file"
done

part size
du -sk "$data" | cut -f1
part disk
for path in "$data" /var/lib/kup "${binary%/*}"; do
	at=$path
	until [ -z "$at" ] || [ -e "$at" ]; do at=${at%/*}; done
	df -Pk "${at:-/}" | awk -v path="$path" 'END { print path, $2, $4 }'
done
exit 0 # what is absent is an answer
