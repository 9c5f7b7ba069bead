# Prints the id and the peer URL with which the member began to leave; nothing when
# it did not: KEEP.
[ ! -f "$1/left" ] || cat "$1/left"
