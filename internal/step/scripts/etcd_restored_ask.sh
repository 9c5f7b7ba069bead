# Says whether the member's data are the restored ones: DATA SHA256 TOKEN.
if restored "$1" "$2" "$3"; then
	echo yes
else
	echo "no: $1 was not restored from $2"
fi
