# Functions that the package scripts share. What a script says last on stderr is
# what the operator reads.

fail() {
	code=$1
	shift
	echo "kup: $*" >&2
	exit "$code"
}

# printed NAME prints the version a Kubernetes binary says it has.
printed() {
	case $1 in
	kubeadm) kubeadm version -o short 2>/dev/null ;;
	kubelet) kubelet --version 2>/dev/null ;;
	kubectl) kubectl version --client 2>/dev/null ;;
	esac | grep -Eo 'v[0-9]+\.[0-9]+\.[0-9]+' | head -n 1
}

# verified VERSION NAME... compares what the binaries print with what was installed.
verified() {
	want=$1
	shift
	for name in "$@"; do
		case $name in
		kubeadm | kubelet | kubectl) ;;
		*) continue ;;
		esac
		got=$(printed "$name")
		[ "$got" = "$want" ] || return 1
	done
}

# restarted UNIT starts what is installed now.
restarted() {
	[ -n "$1" ] || return 0
	systemctl daemon-reload
	systemctl restart "$1"
	systemctl is-active --quiet "$1" || {
		systemctl status --no-pager --lines=20 "$1" >&2 || :
		fail 71 "unit $1 is not active after its restart; see journalctl -u $1"
	}
}

# current UNIT tells whether the unit runs the program that is installed now.
current() {
	[ -n "$1" ] || return 0
	systemctl is-active --quiet "$1" || return 1
	pid=$(systemctl show -p MainPID "$1" | sed -n 's/^MainPID=//p')
	case $(readlink "/proc/$pid/exe") in
	'' | *' (deleted)') return 1 ;;
	esac
}

# replaced FILE KEEP replaces FILE with stdin, whole or not at all, and keeps its
# first content in the directory KEEP.
replaced() {
	mkdir -p "${1%/*}"
	(umask 077 && mkdir -p "$2")
	cat >"$1.kup~"
	if cmp -s "$1.kup~" "$1"; then
		rm -f "$1.kup~"
		return 0
	fi
	if [ -e "$1" ] && [ ! -e "$2/${1##*/}" ]; then
		cp -p "$1" "$2/${1##*/}"
	fi
	chmod 0644 "$1.kup~"
	sync "$1.kup~" 2>/dev/null || sync
	mv -f "$1.kup~" "$1"
}

# unused STORE tells whether no etcd has the store open: one holds a lock on it for as long
# as it runs.
unused() {
	[ -f "$1" ] || return 0
	command -v flock >/dev/null || fail 69 'flock is missing on the host; install util-linux'
	held=0
	flock -n "$1" true || held=$?
	case $held in
	0) ;;
	1) return 1 ;;
	*) fail 75 "whether an etcd still runs on $1 cannot be told: flock ended with exit code $held" ;;
	esac
}
