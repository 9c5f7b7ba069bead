# Sets the data of a member that left aside, where they stay, and starts its unit empty, as
# one that joins: VOLATILE-DIR RUN UNIT DATA-DIR INITIAL-CLUSTER. May be run again at any
# point.
volatile=$1 run=$2 unit=$3 data=$4 cluster=$5
aside=$data/member.kup-$run
if [ -e "$data/member" ] && [ ! -e "$aside" ]; then
	stopped "$unit"
	mv -T "$data/member" "$aside"
	sync
fi
mkdir -p "$volatile/systemd/system/$unit.d"
printf '[Service]\nEnvironmentFile=%s/kup-etcd.env\n' "$volatile" >"$volatile/systemd/system/$unit.d/zz-kup.conf"
printf 'ETCD_INITIAL_CLUSTER=%s\nETCD_INITIAL_CLUSTER_STATE=existing\n' "$cluster" >"$volatile/kup-etcd.env"
started "$unit"
# Only its first start asks for them.
rm -f "$volatile/systemd/system/$unit.d/zz-kup.conf" "$volatile/kup-etcd.env"
systemctl daemon-reload
echo "the data of before are in $aside"
