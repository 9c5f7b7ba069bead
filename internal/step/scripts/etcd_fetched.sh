# Says whether a release of etcd is in the cache: CACHE.
cache=$1
if unpacked; then echo yes; else echo "no: $cache"; fi
