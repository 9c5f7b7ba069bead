# Functions of the scripts for plain binaries. The caller sets $cache.

# cached NAME tells whether the cache has the binary, whole.
cached() {
	[ -f "$cache/$1" ] && [ -f "$cache/$1.sha256" ] &&
		[ "$(sha256sum <"$cache/$1" | cut -d' ' -f1)" = "$(cat "$cache/$1.sha256")" ]
}

# get URL [OPTION]... asks again where that may help, and gives a server up that
# says nothing more for a minute.
get() {
	curl -fsSL --retry 3 --connect-timeout 30 --speed-limit 1024 --speed-time 60 "$@"
}

# download NAME URL CHECKSUM-URL puts the binary into the cache once its digest is right.
download() {
	! cached "$1" || return 0
	command -v curl >/dev/null || fail 69 'curl is not on PATH; install it, or use another packages.manager'
	(umask 077 && mkdir -p "$cache")
	sum=$(get "$3" | grep -Eo '^[0-9a-fA-F]{64}' | head -n 1 | tr A-F a-f)
	[ -n "$sum" ] || fail 66 "$3 could not be read, or holds no SHA-256"
	get "$2" -o "$cache/$1.part" || fail 66 "$2 could not be downloaded"
	got=$(sha256sum <"$cache/$1.part" | cut -d' ' -f1)
	[ "$got" = "$sum" ] || fail 65 "$2 has SHA-256 $got, but $3 says $sum; nothing was installed"
	mv -f "$cache/$1.part" "$cache/$1"
	echo "$sum" >"$cache/$1.sha256"
}
