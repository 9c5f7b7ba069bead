# Functions of the scripts for units. The caller sets $unit.

# shown PROPERTY prints what systemd knows of the unit.
shown() { systemctl show -p "$1" "$unit" | sed -n "s/^$1=//p"; }

# runs tells whether the unit is active and its main process is there.
runs() {
	systemctl is-active --quiet "$unit" || return 1
	pid=$(shown MainPID)
	[ "${pid:-0}" -gt 0 ] && [ -e "/proc/$pid" ]
}

# gone tells whether nothing of the unit is left: neither its main process nor any
# other in its control group.
gone() {
	case $(systemctl is-active "$unit" 2>/dev/null) in
	inactive | failed | unknown) ;;
	*) return 1 ;;
	esac
	pid=$(shown MainPID)
	[ "${pid:-0}" -eq 0 ] || return 1
	for procs in "/sys/fs/cgroup${group:-/system.slice/$unit.service}/cgroup.procs" \
		"/sys/fs/cgroup/systemd${group:-/system.slice/$unit.service}/cgroup.procs"; do
		! grep -q . "$procs" 2>/dev/null || return 1
	done
}

# awaited CONDITION SECONDS asks until it holds.
awaited() {
	end=$(($(date +%s) + $2))
	until "$1"; do
		[ "$(date +%s)" -lt "$end" ] || return 1
		sleep 1
	done
}
