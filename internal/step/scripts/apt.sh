# Functions of the apt scripts. The caller sets $lock: seconds to wait for a lock.

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l LC_ALL=C

# installed NAME prints the installed version; nothing for a package half installed.
installed() {
	dpkg-query -W -f='${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'
}

# present PIN... tells whether exactly these versions are installed.
present() {
	for pin in "$@"; do
		[ "$(installed "${pin%%=*}")" = "${pin#*=}" ] || return 1
	done
}

# held NAME tells whether the package is on hold.
held() {
	apt-mark showhold | grep -qxF -- "$1"
}

# source_of FILE REPOSITORY KEY prints the content of a source file.
source_of() {
	case $1 in
	*.sources)
		printf 'Types: deb\nURIs: %s\nSuites: /\n' "$2"
		[ -z "$3" ] || printf 'Signed-By: %s\n' "$3"
		;;
	*) printf 'deb %s%s /\n' "${3:+[signed-by=$3] }" "$2" ;;
	esac
}

# unlocked COMMAND... runs it again while another package manager holds a lock.
# Not every apt waits by itself, and none does for its lists.
unlocked() {
	end=$(($(date +%s) + lock))
	while :; do
		status=0
		"$@" </dev/null 2>"$work/stderr" || status=$?
		cat "$work/stderr" >&2
		[ "$status" -ne 0 ] || return 0
		grep -Eq 'Could not get lock|Unable to (lock|acquire)|lock was locked by another process' "$work/stderr" || return "$status"
		if [ "$(date +%s)" -ge "$end" ]; then
			echo "kup: another package manager held its lock for ${lock}s; see which one: fuser -v /var/lib/dpkg/lock-frontend" >&2
			return "$status"
		fi
		echo 'another package manager holds its lock; waiting'
		sleep 2
	done
}

# refreshed FILE REPOSITORY PIN... reads the index of that one source and proves
# that it has the pins. An index that was read before will do when the repository
# cannot be reached now.
refreshed() {
	from=$1 url=$2
	shift 2
	unlocked apt-get update -q -o "Dir::Etc::sourcelist=$from" -o Dir::Etc::sourceparts=- \
		-o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any ||
		echo "kup: $url could not be read now" >&2
	for pin in "$@"; do
		apt-cache -o "Dir::Etc::sourcelist=$from" -o Dir::Etc::sourceparts=- madison "${pin%%=*}" |
			cut -d'|' -f2 | tr -d ' ' | grep -qxF -- "${pin#*=}" ||
			fail 66 "repository $url has no $pin; check packages.repository and whether the version exists there"
	done
}
