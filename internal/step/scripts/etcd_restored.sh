# restored DATA SHA256 TOKEN tells whether the data are what a restore of that
# snapshot, with that token, put there.
restored() {
	[ "$(cat "$1/member/kup-restored" 2>/dev/null)" = "$2 $3" ]
}
