# Asks for room for FILE once more on the disk of the directory DIR, where MANIFEST has
# the member's data: DIR FILE MANIFEST. A member with its data, or its log alone, elsewhere
# would start on these again, and not on the restored ones.
[ ! -f "$3" ] || grep -q -E -e "--data-dir=$1/?[\"']?[[:space:]]*\$" "$3" ||
	fail 72 "$3 does not have the member's data in $1 (--data-dir), and kup restores them there only; by hand: docs/disaster-recovery.md"
! grep -qs -e '--wal-dir=' "$3" ||
	fail 72 "$3 has the member's log apart from its data (--wal-dir), and kup restores data directories alone; by hand: docs/disaster-recovery.md"
room "$1" "$(stat -c %s "$2")" 262144
