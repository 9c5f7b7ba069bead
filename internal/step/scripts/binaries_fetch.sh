# Downloads binaries: NAME URL CHECKSUM-URL, again and again.
cache=$1
shift
while [ $# -gt 0 ]; do
	download "$1" "$2" "$3"
	shift 3
done
