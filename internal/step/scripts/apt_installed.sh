# Says whether exactly these versions are installed, on hold where asked, and running.
hold=$1 version=$2 unit=$3
shift 3
no() {
	echo "no: $*"
	exit 0
}
present "$@" || no 'versions'
for pin in "$@"; do
	name=${pin%%=*}
	[ "$hold" != true ] || held "$name" || no "$name is not on hold"
	verified "$version" "$name" || no "$name prints ${got:-nothing}"
done
current "$unit" || no "unit $unit does not run what is installed"
echo yes
