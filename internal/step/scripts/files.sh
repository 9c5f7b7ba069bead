# Puts paths of a node's backup back. Arguments: ARCHIVE, its SHA-256, the number of
# paths that stay as they are, these paths, then the paths to put back. Safe to run
# again from any point: each file is replaced whole, what is equal is left alone.
export LC_ALL=C
archive=$1 digest=$2 stays=$3
shift 3
[ -f "$archive" ] || fail 65 "the backup $archive is missing; nothing was changed"
got=$(sha256sum <"$archive" | cut -d' ' -f1)
[ "$got" = "$digest" ] || fail 65 "the backup $archive has SHA-256 $got, but $digest was recorded; nothing was changed"

umask 077
work=$(mktemp -d "${archive%/*}/.back.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM
tar --extract --preserve-permissions --numeric-owner --file "$archive" --directory "$work"
umask 022 # for parents that are gone
state=$work/kup-state
# What was left out of the backup is nothing to put back or to remove.
sed 's,^,/,' "$state/exclude" >"$state/stays"
while [ "$stays" -gt 0 ]; do
	echo "$1" >>"$state/stays"
	stays=$((stays - 1))
	shift
done
sed 's,^,/,' "$state/paths" | cat - "$state/absent" >"$state/known"
secured=
if command -v selinuxenabled >/dev/null && selinuxenabled; then
	secured=yes
fi

# below LIST PATH tells whether the path is in the list, or below what is in it.
below() {
	while IFS= read -r above; do
		case $2 in "$above" | "$above"/*) return 0 ;; esac
	done <"$state/$1"
	return 1
}

# shelters PATH tells whether something that stays lies below it.
shelters() {
	while IFS= read -r stay; do
		case $stay in "$1"/*) return 0 ;; esac
	done <"$state/stays"
	return 1
}

# due PATH tells whether it is the path's turn: static pods come last, when all that
# they are started with is in place.
due() {
	case $1 in
	*/manifests/*) [ "$turn" = pods ] ;;
	*) [ "$turn" = rest ] ;;
	esac
}

attributes() { stat -c '%a %u:%g' "$1"; }

# same PATH tells whether the file or link is what the backup has.
same() {
	if [ -L "$work$1" ]; then
		[ -L "$1" ] && [ "$(readlink "$1")" = "$(readlink "$work$1")" ]
		return
	fi
	[ ! -L "$1" ] && [ -f "$1" ] && cmp -s "$work$1" "$1" && [ "$(attributes "$work$1")" = "$(attributes "$1")" ]
}

# put PATH puts one file or link back. The kubelet reads whatever appears among the
# manifests, so they come from beside their directory.
put() {
	! same "$1" || return 0
	case $1 in
	*/manifests/*) temp=${1%/manifests/*}/.${1##*/}.kup~ ;;
	*) temp=$1.kup~ ;;
	esac
	mkdir -p "${1%/*}"
	rm -rf "$temp"
	cp -dp "$work$1" "$temp"
	there=
	if [ -e "$1" ] || [ -L "$1" ]; then
		there=yes
		[ -z "$secured" ] || chcon --no-dereference "--reference=$1" "$temp"
	fi
	if [ -d "$1" ] && [ ! -L "$1" ]; then
		removed "$1"
	fi
	sync "$temp" 2>/dev/null || sync
	mv -fT "$temp" "$1"
	[ -z "$secured" ] || [ -n "$there" ] || restorecon "$1"
	echo "put $1 back"
}

# directory PATH makes the directory what the backup has.
directory() {
	if [ -L "$1" ] || [ ! -d "$1" ]; then
		rm -f "$1"
		mkdir -p "$1"
		[ -z "$secured" ] || restorecon "$1"
	fi
	if [ "$(attributes "$work$1")" != "$(attributes "$1")" ]; then
		chown "$(stat -c %u:%g "$work$1")" "$1"
		chmod "$(stat -c %a "$work$1")" "$1"
	fi
}

# removed PATH removes it and what is below it, but for what stays.
removed() {
	[ -e "$1" ] || [ -L "$1" ] || return 0
	find "$1" | sort -r >"$state/removed"
	while IFS= read -r old; do
		if below stays "$old" || shelters "$old"; then
			continue
		elif [ -d "$old" ] && [ ! -L "$old" ]; then
			rmdir "$old"
		else
			rm -f "$old"
		fi
		echo "removed $old"
	done <"$state/removed"
}

# tree PATH puts a directory back with all below it.
tree() {
	find "$work$1" | sort >"$state/tree"
	while IFS= read -r saved; do
		at=${saved#"$work"}
		if below stays "$at"; then
			continue
		elif [ -d "$saved" ] && [ ! -L "$saved" ]; then
			[ "$turn" = pods ] || directory "$at"
		elif due "$at"; then
			put "$at"
		fi
	done <"$state/tree"
	[ "$turn" = pods ] || return 0
	find "$1" | sort -r >"$state/now"
	while IFS= read -r at; do
		if [ ! -e "$work$at" ] && [ ! -L "$work$at" ]; then
			removed "$at"
		fi
	done <"$state/now"
}

for path in "$@"; do
	[ -e "$work$path" ] || [ -L "$work$path" ] || below known "$path" || below stays "$path" ||
		fail 65 "the backup $archive knows nothing of $path; nothing was changed"
done

# back PATH makes one path what the backup has.
back() {
	if below stays "$1"; then
		return 0
	elif [ -d "$work$1" ] && [ ! -L "$work$1" ]; then
		tree "$1"
	elif [ -e "$work$1" ] || [ -L "$work$1" ]; then
		! due "$1" || put "$1"
	elif [ "$turn" = pods ]; then
		removed "$1"
	fi
}

for turn in rest pods; do
	for path in "$@"; do back "$path"; done
	[ "$turn" = pods ] || systemctl daemon-reload
done
sync
