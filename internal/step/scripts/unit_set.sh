# Starts or stops a unit and proves it: WANT UNIT SECONDS.
want=$1 unit=$2 patience=$3
trouble() {
	systemctl status --no-pager --lines=20 "$unit" >&2 || :
	fail 71 "$*; see journalctl -u $unit"
}
group=$(shown ControlGroup)
case $want in
running)
	systemctl daemon-reload
	systemctl reset-failed "$unit" 2>/dev/null || : # one that failed too often would not be started
	# One that runs already, as a package's own script may have started it, has read other
	# files than those that are there now.
	systemctl restart "$unit" || trouble "unit $unit could not be started"
	awaited runs "$patience" || trouble "unit $unit does not run ${patience}s after its start"
	;;
stopped)
	systemctl stop "$unit" || trouble "unit $unit could not be stopped"
	awaited gone "$patience" || trouble "something of unit $unit still runs ${patience}s after it was stopped"
	;;
esac
