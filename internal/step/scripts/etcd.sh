# Functions of the scripts for members of an external etcd.

programs='etcd etcdctl etcdutl'

# says PROGRAM prints the version that an etcd says it has.
says() {
	"$1" --version 2>/dev/null | sed -n 's/^etcd Version: *\([0-9.]*\).*/v\1/p'
}

# unpacked tells whether the cache has the release's programs, whole.
unpacked() {
	[ -s "$cache/sha256" ] && (cd "$cache" && sha256sum --status --check sha256)
}

# release URL SUMS-URL puts the programs of a release into the cache, once the digest of
# its archive is the one that the list has for it.
release() {
	! unpacked || return 0
	command -v curl >/dev/null || fail 69 'curl is not on PATH; install it'
	(umask 077 && mkdir -p "$cache")
	rm -rf "$cache/work"
	sum=$(get "$2" | awk -v name="${1##*/}" '{ file = $2; sub(/^[*]/, "", file); sub(/.*\//, "", file) }
		file == name && length($1) == 64 { print tolower($1); exit }')
	[ -n "$sum" ] || fail 66 "$2 could not be read, or has no SHA-256 of ${1##*/}"
	get "$1" -o "$cache/archive.part" || fail 66 "$1 could not be downloaded"
	got=$(sha256sum <"$cache/archive.part" | cut -d' ' -f1)
	[ "$got" = "$sum" ] || fail 65 "$1 has SHA-256 $got, but $2 says $sum; nothing was installed"
	mkdir "$cache/work"
	tar -xzf "$cache/archive.part" -C "$cache/work" --no-same-owner || fail 65 "$1 is not an archive"
	for program in $programs; do
		find "$cache/work" -type f -name "$program" -exec mv -f {} "$cache/$program" \;
	done
	[ -f "$cache/etcd" ] || fail 65 "$1 holds no etcd"
	chmod 0755 "$cache/etcd"
	got=$(says "$cache/etcd")
	[ "$got" = "$version" ] || fail 70 "$1 holds an etcd that says ${got:-nothing}, want $version"
	rm -rf "$cache/work" "$cache/archive.part"
	(cd "$cache" && for program in $programs; do [ ! -f "$program" ] || sha256sum "$program"; done >sha256.part && mv -f sha256.part sha256)
}

# stopped UNIT leaves nothing of the unit running.
stopped() {
	systemctl stop "$1" || :
	systemctl reset-failed "$1" 2>/dev/null || :
	! systemctl is-active --quiet "$1" || fail 71 "unit $1 does not stop; see systemctl status $1"
}

# started UNIT starts what is installed now. A unit that does not start is left stopped:
# one that keeps trying disturbs the members that serve.
started() {
	systemctl daemon-reload
	systemctl reset-failed "$1" 2>/dev/null || :
	if systemctl restart "$1" && systemctl is-active --quiet "$1"; then
		return 0
	fi
	journalctl --no-pager --output cat --lines 20 --unit "$1" >&2 || :
	systemctl stop "$1" || :
	fail 71 "unit $1 did not start and was stopped; the other members go on. See journalctl -u $1"
}

# placed DIRECTORY FROM replaces the programs in DIRECTORY by those in FROM, each whole
# and where it is found today.
placed() {
	for program in $programs; do
		[ -f "$2/$program" ] || continue
		place=$(readlink -f "$1/$program")
		install -m 0755 "$2/$program" "$place.kup~"
		sync "$place.kup~" 2>/dev/null || sync
		mv -f "$place.kup~" "$place"
	done
}
