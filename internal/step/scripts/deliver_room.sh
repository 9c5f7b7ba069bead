# Asks for room for FILE once more on the disk of the directory DIR.
room "$1" "$(stat -c %s "$2")" 262144
