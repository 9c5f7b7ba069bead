# Says whether exactly these versions are installed and running.
version=$1 unit=$2
shift 2
no() {
	echo "no: $*"
	exit 0
}
present "$@" || no 'versions'
for pin in "$@"; do
	verified "$version" "${pin%%=*}" || no "$name prints ${got:-nothing}"
done
current "$unit" || no "unit $unit does not run what is installed"
echo yes
