# Says whether a unit runs a release of etcd: VERSION UNIT DIRECTORY.
version=$1 unit=$2 directory=$3
no() {
	echo "no: $*"
	exit 0
}
now=$(says "$directory/etcd")
[ "$now" = "$version" ] || no "$directory/etcd says ${now:-nothing}"
current "$unit" || no "unit $unit does not run what is installed"
[ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$directory/etcd")" ] || no "unit $unit runs another program"
echo yes
