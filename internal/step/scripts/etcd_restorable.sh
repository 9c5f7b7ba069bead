# Sees to it that this host can restore etcd's data with the API dead and the images
# removed: PROGRAMS VERSION IMAGE SOCKET BUMP. It prints where the programs are from.
brought "$1" "$2" "$3" "$4" "$5"
cat "$1/from"
