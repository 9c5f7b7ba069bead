# Prints what the components of a host are started with. Reads only. Secrets stay
# behind: of flags the names, and the values of those in $1; of configuration
# files versions, kinds and names. Lines of words apart by tabs.
# $1: names of flags whose values are no secret, apart by spaces.
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin"
exec 2>/dev/null </dev/null
open=" $1 "

part() { printf '\n#kup:part %s\n' "$1"; }

# word(component, path, text) prints a flag. A word after the name of a flag that
# is open is its value.
words='
function flush() { if (pending != "") print pending; pending = "" }
function word(component, path, text,   name, value, at, known) {
	if (pending != "" && text !~ /^-/) { print pending "\t=" text; pending = ""; return }
	flush()
	if (text !~ /^--[A-Za-z]/) return
	name = substr(text, 3)
	at = index(name, "=")
	if (at) { value = substr(name, at + 1); name = substr(name, 1, at - 1) }
	if (component != "etcd") gsub(/_/, "-", name)
	known = index(open, " " name " ")
	gsub(/\t/, " ", value)
	if (at) print component "\t" path "\t" name (known ? "\t=" value : "")
	else if (known) pending = component "\t" path "\t" name
	else print component "\t" path "\t" name
}'

# manifest NAME prints the flags of a static pod: the items of lists that begin
# with two dashes.
manifest() {
	file=/etc/kubernetes/manifests/$1.yaml
	[ -f "$file" ] || return 0
	printf '%s\n' "$1"
	awk -v component="$1" -v path="$file" -v open="$open" "$words"'
	/^ *- *["'\'']?--/ {
		sub(/^ *- */, "")
		sub(/ +$/, "")
		if ($0 ~ /^"/) { gsub(/^"|"$/, "") } else if ($0 ~ /^'\''/) { gsub(/^'\''|'\''$/, "") }
		word(component, path, $0)
	}
	END { flush() }' "$file"
}

# units prints the files of the unit kubelet.service, and the drop-ins in the
# order in which systemd reads them; of one name the first directory counts.
units() {
	for dir in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
		[ -f $dir/kubelet.service ] || continue
		echo $dir/kubelet.service
		break
	done
	for dir in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
		for file in $dir/kubelet.service.d/*.conf; do
			[ -f "$file" ] && echo "${file##*/} $file"
		done
	done | awk '!seen[$1]++' | sort | awk '{ print $2 }'
}

# lines KIND FILE prints a file's lines with what they come from, continued lines
# joined.
lines() {
	awk -v kind="$1" -v path="$2" '
	{ if (sub(/\\$/, "")) { kept = kept $0 " "; next } print kind "\t" path "\t" kept $0; kept = "" }
	END { if (kept != "") print kind "\t" path "\t" kept }' "$2"
}

# source_lines prints the lines of the unit, and after them those of the files it
# names; without a unit, what kubeadm's own would read.
source_lines() {
	files=$(units)
	if [ -n "$files" ]; then
		for file in $files; do
			lines unit "$file"
		done
		variables=$(sed -n 's/^ *EnvironmentFile= *-\{0,1\} *"\{0,1\}\([^" ]*\).*/\1/p' $files)
	elif [ -f /var/lib/kubelet/kubeadm-flags.env ]; then
		printf 'unit\t-\tExecStart=kubelet $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n'
		variables="/var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet"
	else
		return 0
	fi
	for file in $variables; do
		[ -f "$file" ] && lines env "$file"
	done
}

# started prints the kubelet's flags: the command that systemd starts, with the
# variables that have a value.
started() {
	source=$(source_lines)
	[ -n "$source" ] || return 0
	echo kubelet
	printf '%s\n' "$source" | awk -F '\t' -v open="$open" "$words"'
	# assign(path, text) takes what follows Environment=: A=x "B=y z"
	function assign(path, text,   i, c, quote, item, n) {
		item = ""; quote = ""
		text = text " "
		n = length(text)
		for (i = 1; i <= n; i++) {
			c = substr(text, i, 1)
			if (quote != "") { if (c == quote) quote = ""; else item = item c }
			else if (c == "\"" || c == single) quote = c
			else if (c == " ") { set(path, item); item = "" }
			else item = item c
		}
	}
	function set(path, item,   at) {
		at = index(item, "=")
		if (at < 2) return
		value[substr(item, 1, at - 1)] = substr(item, at + 1)
		from[substr(item, 1, at - 1)] = path
	}
	function each(path, text,   n, i, list, name) {
		gsub(/["'\'']/, "", text)
		n = split(text, list, / +/)
		for (i = 1; i <= n; i++) {
			name = list[i]
			if (name ~ /^[$][{]?[A-Za-z_][A-Za-z0-9_]*[}]?$/) {
				gsub(/[${}]/, "", name)
				if (name in value) flags(from[name], value[name])
			} else if (name != "") word("kubelet", path, name)
		}
	}
	function flags(path, text,   n, i, list) {
		gsub(/["'\'']/, "", text)
		n = split(text, list, / +/)
		for (i = 1; i <= n; i++) if (list[i] != "") word("kubelet", path, list[i])
	}
	BEGIN { single = sprintf("%c", 39) }
	{
		text = $3
		sub(/^ +/, "", text)
		if (text ~ /^[#;]/) next
		if ($1 == "env") {
			at = index(text, "=")
			if (at > 1) {
				item = substr(text, at + 1)
				gsub(/^ *["'\'']|["'\''] *$/, "", item)
				set($2, substr(text, 1, at - 1) "=" item)
			}
		} else if (text ~ /^Environment *=/) {
			sub(/^Environment *= */, "", text)
			assign($2, text)
		} else if (text ~ /^ExecStart *=/) {
			sub(/^ExecStart *= */, "", text)
			command = text
			origin = $2
		}
	}
	END { each(origin, command); flush() }'
}

# top FILE prints the apiVersion and kind of a YAML document, as one line.
top() {
	awk '
	/^apiVersion: */ && v == "" { v = $2 }
	/^kind: */ && k == "" { k = $2 }
	END { gsub(/["'\'']/, "", v); gsub(/["'\'']/, "", k)
		if (v ~ /^[A-Za-z0-9.\/-]+$/ && k ~ /^[A-Za-z]+$/) print v "\t" k }' "$1"
}

flags=$(for name in kube-apiserver kube-controller-manager kube-scheduler etcd; do manifest $name; done; started)

part flags
printf '%s\n' "$flags"

part kubelet
path=$(printf '%s\n' "$flags" | awk -F '\t' '$1 == "kubelet" && $3 == "config" { p = substr($4, 2) } END { print p }')
more=$(printf '%s\n' "$flags" | awk -F '\t' '$1 == "kubelet" && $3 == "config-dir" { p = substr($4, 2) } END { print p }')
for file in "${path:-/var/lib/kubelet/config.yaml}" /var/lib/kubelet/instance-config.yaml ${more:+"$more"/*.conf}; do
	[ -f "$file" ] || continue
	awk -v path="$file" '
	function gate(text,   at, name) {
		gsub(/[{}"'\'' ,]/, "", text)
		at = index(text, ":")
		name = substr(text, 1, at - 1)
		text = substr(text, at + 1)
		if (name ~ /^[A-Za-z0-9]+$/ && (text == "true" || text == "false")) print "gate\t" path "\t" name "\t" text
	}
	/^ *#/ { next }
	/^[A-Za-z]+:/ {
		name = $1
		sub(/:.*/, "", name)
		inside = name == "featureGates"
		if (name == "apiVersion" && $2 ~ /^[A-Za-z0-9.\/-]+$/) print "apiVersion\t" path "\t" $2
		print "field\t" path "\t" name
		if (inside && $0 ~ /[{]/) {
			sub(/^[^{]*[{]/, "")
			n = split($0, list, ",")
			for (i = 1; i <= n; i++) gate(list[i])
		}
		next
	}
	inside && /^ +[A-Za-z0-9"'\'']+: */ { sub(/ #.*/, ""); gate($0) }' "$file"
done

part files
printf '%s\n' "$flags" | awk -F '\t' '
	$3 ~ /^(config|audit-policy-file|admission-control-config-file|encryption-provider-config|authentication-config|authorization-config|tracing-config-file|egress-selector-config-file|image-credential-provider-config)$/ &&
	!($1 == "kubelet" && $3 == "config") && $4 != "" { print $1 "\t" $3 "\t" substr($4, 2) }' |
	while IFS='	' read -r component flag file; do
		[ -f "$file" ] || continue
		seen=$(top "$file")
		[ -n "$seen" ] || continue
		printf 'file\t%s\t%s\t%s\t%s\n' "$component" "$flag" "$file" "$seen"
		[ "$flag" = encryption-provider-config ] || continue
		awk -v path="$file" '
		function flush() { if (name != "") print "provider\t" path "\t" name "\t" version "\t" size; name = version = size = "" }
		/^ *#/ { next }
		/^ *- *(identity|aescbc|aesgcm|secretbox|kms) *:/ { flush(); name = $0; sub(/^ *- */, "", name); sub(/ *:.*/, "", name); next }
		/^ *- *resources *:/ { flush() }
		name == "kms" && /^ +apiVersion: */ && $2 ~ /^"?v[0-9]+[a-z0-9]*"?$/ { version = $2; gsub(/"/, "", version) }
		name == "kms" && /^ +cache[sS]ize: */ && $2 ~ /^-?[0-9]+$/ { size = $2 }
		END { flush() }' "$file"
	done

part containerd
sed -n 's/^ *version *= *\([0-9][0-9]*\).*/\1/p' /etc/containerd/config.toml
exit 0 # a file that is absent is an answer
