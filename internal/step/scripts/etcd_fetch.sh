# Downloads a release of etcd: CACHE VERSION URL SUMS-URL.
cache=$1 version=$2
release "$3" "$4"
