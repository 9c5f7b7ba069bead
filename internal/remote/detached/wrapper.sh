# The host's side of package detached. Runs with any POSIX shell; needs flock,
# setsid or systemd-run, timeout, mktemp and base64.
#
#   sh wrapper.sh BASE BOOT SYSTEMD own RUN EPOCH
#   sh wrapper.sh BASE BOOT SYSTEMD status DIR
#   sh wrapper.sh BASE BOOT SYSTEMD run DIR OUT ERR HOLD QUICK RUN EPOCH DIGEST UNIT LIMIT SIZE
#   sh wrapper.sh BASE BOOT SYSTEMD wait DIR OUT ERR HOLD QUICK
#   sh wrapper.sh BASE BOOT SYSTEMD carry-out DIR
#
# The answer is one line, "kup-exec STATE A B N M", then N bytes of standard output
# from offset OUT and M bytes of standard error from offset ERR. Times are in
# hundredths of a second. An exit code other than 0 means that nothing was started.
#
# An execution is its directory, which appears complete, by one rename. Making
# DIR/started inside it is the claim to carry it out: whoever makes it does,
# everybody else does not. DIR/alive is locked for as long as the command lives.
set -u
umask 077
script=$0 base=$1 boot=$2 systemd=$3 action=$4
shift 4
most=1048576

die() { echo "$*" >&2; exit 70; }

answer() { printf 'kup-exec %s %s %s %s %s\n' "$1" "${2:--}" "${3:--}" "${4:-0}" "${5:-0}"; }

durable() { sync "$@" 2>/dev/null || sync; }

lock() {
	command -v flock >/dev/null || die 'flock is missing on the host; install util-linux'
	exec 9>>"$base/lock" || die "cannot lock $base"
	flock -w 60 9 || die "$base/lock is held for a minute now"
}

# raise RUN EPOCH: makes the run the owner of the host, unless a newer one is.
# Call it under the lock.
raise() {
	if [ -e "$base/owner" ]; then
		read -r owner had <"$base/owner"
		case ${had:-x} in *[!0-9]*) die "$base/owner is damaged; remove it when no other kup works on this host" ;; esac
		if [ "$had" -gt "$2" ] || { [ "$had" -eq "$2" ] && [ "$owner" != "$1" ]; }; then
			answer fenced "$owner" "$had"
			exit 0
		fi
		[ "$had" -lt "$2" ] || return 0
	fi
	printf '%s %s\n' "$1" "$2" >"$base/owner.new" && durable "$base/owner.new" &&
		mv -f "$base/owner.new" "$base/owner" || die "cannot write $base/owner"
	durable "$base"
}

# look sets state, code and how.
look() {
	state=running code=- how=-
	[ -d "$dir/started" ] || { state=unstarted; return; }
	if [ ! -s "$dir/status" ]; then
		if [ "$(cat "$dir/boot" 2>/dev/null)" != "$(cat "$boot")" ]; then
			state=lost how=reboot
		elif flock -n -s "$dir/alive" true 2>/dev/null; then
			state=lost how=vanished
		fi
	fi
	# Asked last: the command may have ended while the rest was looked at.
	[ ! -s "$dir/status" ] || { state=exited && read -r code how <"$dir/status"; }
}

# unit OPTION... has systemd carry the execution out.
unit() {
	systemd-run --quiet "$@" --unit="$(cat "$dir/unit")" --description="kup ${dir#"$base/"}" \
		/bin/sh "$script" "$base" "$boot" "$systemd" carry-out "$dir" >"$dir/launch" 2>&1 </dev/null 9>&-
}

# launch lets somebody carry the execution out. Call it under the lock.
launch() {
	limit=$(cat "$dir/limit") || die "$dir is damaged"
	patience=500
	if [ -d "$systemd" ]; then
		most_runtime=
		[ "$limit" -eq 0 ] || most_runtime=--property=RuntimeMaxSec=$((limit + 120))
		# What systemd below 236 and 229 does not know only tidies up: carry_out itself
		# keeps the time, and its unit does not fail.
		unit --collect $most_runtime || {
			grep -Eq 'unrecognized option|nknown assignment|Cannot set property' "$dir/launch" && unit
		} || patience=25
	else
		setsid /bin/sh "$script" "$base" "$boot" "$systemd" carry-out "$dir" >"$dir/launch" 2>&1 </dev/null 9>&- &
	fi
	started || die "the command could not be started: $reason"
}

# started waits until somebody carries the execution out. When nobody does the
# execution is withdrawn, in a way that whoever comes late cannot start it.
started() {
	tries=0
	while [ ! -d "$dir/started" ]; do
		tries=$((tries + 1))
		if [ "$tries" -gt "$patience" ]; then
			reason=$(tail -n 1 "$dir/launch" 2>/dev/null)
			mkdir "$dir/started" 2>/dev/null || return 0
			gone=$(mktemp -d "$dir.gone.XXXXXX") && mv "$dir" "$gone" && rm -rf "$gone"
			return 1
		fi
		sleep 0.02 2>/dev/null || sleep 1
	done
}

# carry_out runs the command. Nobody listens to what is said here.
carry_out() {
	exec 8>>"$dir/alive" || exit 1
	flock -n 8 || exit 0
	[ ! -d "$dir/started" ] || exit 0
	cat "$boot" >"$dir/boot" && echo $$ >"$dir/pid" || exit 1
	in=/dev/null
	[ ! -f "$dir/stdin" ] || in=$dir/stdin
	exec 7<"$in" || exit 1
	limit=$(cat "$dir/limit") || exit 1
	mkdir "$dir/started" || exit 0
	rm -f "$dir/stdin"
	durable "$dir"
	cut=
	trap 'cut=yes' HUP INT TERM
	cd /
	case :$PATH: in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin ;; esac
	HOME=${HOME:-/root}
	export PATH HOME
	began=$(date +%s)
	if [ "$limit" -gt 0 ]; then
		timeout -k 30 "$limit" /bin/sh "$dir/command" <&7 7<&- >"$dir/stdout" 2>"$dir/stderr"
	else
		/bin/sh "$dir/command" <&7 7<&- >"$dir/stdout" 2>"$dir/stderr"
	fi
	code=$? how=exited
	case $code in
	124 | 137) [ "$limit" -eq 0 ] || [ $(($(date +%s) - began)) -lt "$limit" ] || how=timeout ;;
	esac
	[ -z "$cut" ] || how=terminated
	printf '%s %s\n' "$code" "$how" >"$dir/status.new" || exit 1
	durable "$dir/stdout" "$dir/stderr" "$dir/status.new"
	mv -f "$dir/status.new" "$dir/status"
	durable "$dir"
}

# propose makes the execution, unless it is there, and has it carried out.
propose() {
	all=${dir%/*}
	mkdir -p "$all" || die "cannot make $all"
	new=$(mktemp -d "$all/.new.XXXXXX") || die "cannot write to $all"
	trap 'rm -rf "$new"' EXIT
	IFS= read -r line && printf %s "$line" | base64 -d >"$new/command" || die 'the command did not arrive whole'
	if [ "$size" -ge 0 ]; then
		cat >"$new/stdin"
		[ "$(($(wc -c <"$new/stdin")))" -eq "$size" ] || die "the command's input did not arrive whole"
	fi
	{ echo "$digest" >"$new/digest" && echo "$limit" >"$new/limit" && echo "$unit" >"$new/unit" &&
		: >"$new/stdout" && : >"$new/stderr"; } || die "cannot write to $all"
	lock
	if [ ! -d "$dir" ]; then
		raise "$run" "$epoch"
		mv "$new" "$dir" || die "cannot make $dir"
		durable "$dir/command" "$dir/digest" "$dir" "$all"
	fi
	same
	if [ ! -d "$dir/started" ]; then
		raise "$run" "$epoch"
		launch
	fi
	exec 9>&-
}

# same leaves when the execution is of another command.
same() {
	[ "$(cat "$dir/digest")" = "$digest" ] || { answer other; exit 0; }
}

# attend waits until the command has ended, or has said something, or HOLD is over.
attend() {
	t=0 step=0.05 add=5
	while look && [ "$state" = running ] && [ "$t" -lt "$hold" ]; do
		# The whole of look is asked once a second only, the status all the time.
		next=$((t + 100))
		while [ "$t" -lt "$next" ] && [ "$t" -lt "$hold" ] && [ ! -s "$dir/status" ]; do
			sleep "$step" 2>/dev/null || { sleep 1 && add=100; }
			t=$((t + add))
		done
		if [ "$t" -ge 500 ]; then step=0.25 add=25; else step=0.1 add=10; fi
		[ "$t" -lt "$quick" ] || [ "$(cat "$dir/stdout" "$dir/stderr" | wc -c)" -le $((out + err)) ] || break
	done
	look
}

part() { [ "$3" -le 0 ] || tail -c "+$(($2 + 1))" "$1" | head -c "$3"; }

# show answers with the state and the output that was not shown before.
show() {
	n=0 m=0
	if [ "$state" != unstarted ]; then
		n=$(($(wc -c <"$dir/stdout") - out)) m=$(($(wc -c <"$dir/stderr") - err))
		[ "$n" -le "$most" ] || n=$most
		[ "$m" -le "$most" ] || m=$most
		[ "$n" -ge 0 ] || n=0
		[ "$m" -ge 0 ] || m=0
	fi
	answer "$state" "$code" "$how" "$n" "$m"
	part "$dir/stdout" "$out" "$n"
	part "$dir/stderr" "$err" "$m"
}

case $action in
own)
	mkdir -p "$base" && lock
	raise "$1" "$2"
	answer owned
	;;
status)
	dir=$1
	[ -d "$dir" ] || { answer absent; exit 0; }
	if [ ! -d "$dir/started" ]; then
		lock # whoever starts it just now holds it
		patience=100
		if [ -d "$dir" ] && ! started; then
			answer absent
			exit 0
		fi
	fi
	look
	answer "$state" "$code" "$how"
	;;
run)
	dir=$1 out=$2 err=$3 hold=$4 quick=$5 run=$6 epoch=$7 digest=$8 unit=$9
	shift 9
	limit=$1 size=$2
	if [ -d "$dir/started" ]; then same; else propose; fi
	attend
	show
	;;
wait)
	dir=$1 out=$2 err=$3 hold=$4 quick=$5
	[ -d "$dir" ] || { answer absent; exit 0; }
	attend
	show
	;;
carry-out)
	dir=$1
	carry_out
	;;
*) die "no such action: $action" ;;
esac
