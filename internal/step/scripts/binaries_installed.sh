# Says whether the binaries print the version and the unit runs them.
version=$1 unit=$2
shift 2
no() {
	echo "no: $*"
	exit 0
}
for program in "$@"; do
	verified "$version" "$program" || no "$program prints ${got:-nothing}"
done
current "$unit" || no "unit $unit does not run what is installed"
echo yes
