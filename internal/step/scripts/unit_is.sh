# Says whether a unit is as wanted: WANT UNIT.
unit=$2
group=$(shown ControlGroup)
case $1 in
running) wanted=runs ;;
stopped) wanted=gone ;;
esac
if "$wanted"; then
	echo yes
else
	echo "no: $unit is $(systemctl is-active "$unit" 2>/dev/null || :)"
fi
