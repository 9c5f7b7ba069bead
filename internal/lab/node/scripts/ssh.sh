# Breaks and mends the way of SSH into this machine, for everybody. What runs on
# the machine goes on. $1: cut, refused, silent, mute, slow or mend.
set -eu
mark=kup-lab-fault

rule() {
	chain=$1
	shift
	iptables -w 10 -I "$chain" -p tcp -m comment --comment "$mark" "$@"
}

unruled() {
	for chain in INPUT OUTPUT; do
		iptables -w 10 -S "$chain" | sed -n "/--comment $mark/s/^-A //p" | while read -r rule; do
			# The words of a rule hold no blanks.
			iptables -w 10 -D $rule
		done
	done
}

# cut ends every session; the oldest sshd is the one that listens.
cut_sessions() {
	listener=$(pgrep -o -x sshd) || return 0
	for session in $(pgrep -P "$listener" -x sshd); do
		kill -KILL $(pgrep -P "$session" -x sshd) "$session" 2>/dev/null || :
	done
}

case $1 in
cut) cut_sessions ;;
refused) rule INPUT --dport 22 -j REJECT --reject-with tcp-reset ;;
silent)
	rule INPUT --dport 22 -j DROP
	rule OUTPUT --sport 22 -j DROP
	;;
mute) rule OUTPUT --sport 22 -j DROP ;;
slow)
	# Every fourth packet has to be sent again, which takes longer each time.
	rule INPUT --dport 22 -m statistic --mode random --probability 0.25 -j DROP
	rule OUTPUT --sport 22 -m statistic --mode random --probability 0.25 -j DROP
	;;
mend)
	# What a mute machine said must stay lost: without its sessions nothing is sent again.
	if iptables -w 10 -S OUTPUT | grep -q -- "--comment $mark" && ! iptables -w 10 -S INPUT | grep -q -- "--comment $mark"; then
		cut_sessions
	fi
	unruled
	;;
*)
	echo "no such break: $1" >&2
	exit 2
	;;
esac
