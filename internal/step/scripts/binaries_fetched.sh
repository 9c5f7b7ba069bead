# Says whether each binary is in the cache.
cache=$1
shift
for name in "$@"; do
	cached "$name" || {
		echo "no: $name"
		exit 0
	}
done
echo yes
