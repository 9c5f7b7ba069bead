# Kills a program of one version whenever it runs. $1: start or stop. $2: the program's
# name. $3: what its --version says. $4: a file that it has to have opened by then;
# empty: none. What was killed is noted, a line for each.
set -eu
action=$1 program=$2
unit=kup-lab-reaper-$program file=/var/lib/kup-lab/reaper killed=/var/lib/kup-lab/killed-$program
systemctl stop "$unit" 2>/dev/null || :
[ "$action" = start ] || exit 0
mkdir -p "${file%/*}"
: >"$killed"
cat >"$file" <<'LOOP'
program=$1 version=$2 opened=$3 killed=$4 fine=' '
while :; do
	for comm in /proc/[0-9]*/comm; do
		{ read -r name <"$comm"; } 2>/dev/null || continue
		[ "$name" = "$program" ] || continue
		pid=${comm#/proc/}
		pid=${pid%/comm}
		case $fine in *" $pid "*) continue ;; esac
		[ -z "$opened" ] || ls -l "/proc/$pid/fd" 2>/dev/null | grep -q -F -- "$opened" || continue
		case $("/proc/$pid/exe" --version 2>/dev/null) in
		*"$version"*) kill -9 "$pid" && echo "$pid" >>"$killed" ;;
		?*) fine="$fine$pid " ;;
		esac
	done
	sleep 0.3
done
LOOP
# A file, since systemd would expand what looks like a variable in an argument.
exec systemd-run --quiet --collect --unit "$unit" sh "$file" "$program" "$3" "$4" "$killed"
