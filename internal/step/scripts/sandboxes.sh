# Functions of the scripts for sandboxes, beside those for a standstill. The caller sets
# $keep.

# field NAME prints a field of the JSON on stdin, which has one on a line.
field() { sed -n "s|^ *\"$1\": *\"\([^\"]*\)\",*\$|\1|p" | head -n 1; }

# about SANDBOX prints what the runtime knows of it.
about() { cri pods --id "$1" --output json; }

# unknown prints the sandboxes that are up and not to be: pods that the kubelet has from
# the API (not from files or a URL), and whose uid is none of those to keep. Containers may
# outlive their sandbox: what they are in is up, too. One of which the runtime does not say
# enough is an error: nothing is stopped on a guess.
unknown() {
	up=$(cri pods --quiet --state ready)
	running=$(cri ps --state running --output json)
	in=$(printf '%s\n' "$running" | sed -n 's|^ *"podSandboxId": *"\([^"]*\)",*$|\1|p')
	for sandbox in $(printf '%s\n' $up $in | sort -u); do
		said=$(about "$sandbox")
		uid=$(echo "$said" | field io.kubernetes.pod.uid)
		source=$(echo "$said" | field kubernetes.io/config.source)
		case $source in
		file | http) continue ;;
		esac
		if [ -z "$uid" ]; then
			echo "kup: the runtime does not say which pod sandbox $sandbox is" >&2
			return 1
		fi
		printf '%s\n' "$keep" | grep -qxF -- "$uid" || echo "$sandbox"
	done
}
