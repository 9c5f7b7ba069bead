# Runs the other scripts of a survey in one command, each in a shell of its own, so
# that one which breaks off takes none of the others with it. What a script prints, and
# what it complains of, follows a line that names it; its exit code ends it.
# $1: the patches directory, may be empty.
# $2: the runtime's socket; empty: the one that the first script finds.
# $3: names of flags whose values are no secret, apart by spaces.
# $4: how the release of a kubeadm begins whose files can be compared; empty: of none.
# $5 to $9: the scripts host, certificates, startup, hoststate and edits; an empty one
# is left out.
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin"
exec </dev/null

# run NAME SCRIPT ARGUMENT...
run() {
	name=$1 script=$2
	shift 2
	[ -n "$script" ] || return 0
	printf '\n#kup:script %s\n' "$name" >&2
	printf '\n#kup:script %s\n' "$name"
	sh -c "$script" kup "$@"
	printf '\n#kup:exit %s\n' "$?"
}

# said PART prints the first line of what the script host said there.
said() {
	printf '%s\n' "$host" | awk -v part="#kup:part $1" '/^#kup:part / { on = $0 == part; next } on && NF && !n++'
}

printf '#kup:script began\n'
date +%s.%N
host=$(run host "$5" "$1" "$2")
printf '%s\n' "$host"
run certificates "$6"
run startup "$7" "$3"
run hoststate "$8" "${2:-$(said socket)}" "$(said sandbox)"
kubeadm=$(said kubeadm)
if [ -n "$4" ] && [ "${kubeadm#"$4"}" != "$kubeadm" ]; then
	run edits "$9" "$1"
fi
printf '\n#kup:script ended\n'
date +%s.%N
exit 0
