# Functions of the scripts that restore etcd's data with the etcd that the cluster
# itself runs. Its programs are copied out of its image and run as they are (they are
# static), so that nothing has to run in a container, and nothing is lost when the
# kubelet removes the image. What they end with: 65 the snapshot is bad, 69 the
# programs are not to be had on this host, 75 the host failed, not the snapshot.

# copied ROOT DIR copies the programs below ROOT into DIR.
copied() {
	for program in etcd etcdctl etcdutl; do
		[ -f "$1/usr/local/bin/$program" ] && [ ! -L "$1/usr/local/bin/$program" ] || continue
		cp "$1/usr/local/bin/$program" "$2/$program" || return 1
		chmod 0700 "$2/$program"
	done
	[ -f "$2/etcd" ]
}

# unmounted DIR SOCKET takes away what a copying that was cut short left mounted.
unmounted() {
	[ -d "$1/image" ] || return 0
	ctr --address "$2" -n k8s.io images unmount --rm "$1/image" >/dev/null 2>&1 || umount "$1/image" 2>/dev/null || :
	rmdir "$1/image" || fail 75 "$1/image is still mounted; on this host: umount $1/image"
}

# The ways to an image's programs: from_WAY DIR IMAGE SOCKET. A way that this host
# does not have fails.
from_ctr() {
	command -v ctr >/dev/null || return 1
	mkdir "$1/image"
	got=1
	! ctr --address "$3" -n k8s.io images mount "$2" "$1/image" >/dev/null 2>"$1/why" || ! copied "$1/image" "$1" || got=0
	unmounted "$1" "$3"
	return "$got"
}

from_podman() {
	command -v podman >/dev/null || return 1
	root=$(podman image mount "$2" 2>"$1/why") || return 1
	got=0
	copied "$root" "$1" || got=1
	podman image unmount "$2" >/dev/null 2>&1 || :
	return "$got"
}

from_docker() {
	command -v docker >/dev/null && docker image inspect "$2" >/dev/null 2>"$1/why" || return 1
	id=$(docker create --network none "$2" 2>"$1/why") || return 1
	mkdir -p "$1/root/usr/local/bin"
	for program in etcd etcdctl etcdutl; do
		docker cp "$id:/usr/local/bin/$program" "$1/root/usr/local/bin/$program" >/dev/null 2>&1 || :
	done
	docker rm -f "$id" >/dev/null 2>&1 || :
	copied "$1/root" "$1" || return 1
	rm -rf "$1/root"
}

# from_member takes them from the static pod's container that runs: for runtimes whose
# images no program of theirs opens.
from_member() {
	command -v crictl >/dev/null || return 1
	id=$(crictl --runtime-endpoint "unix://$3" ps -q --state running --name '^etcd$' --label io.kubernetes.pod.namespace=kube-system 2>"$1/why" | head -n 1)
	[ -n "$id" ] || return 1
	pid=$(crictl --runtime-endpoint "unix://$3" inspect -o go-template --template '{{.info.pid}}' "$id" 2>"$1/why") || return 1
	copied "/proc/$pid/root" "$1"
}

# from_host takes those of a host that runs etcd without containers.
from_host() {
	command -v etcd >/dev/null || return 1
	for program in etcd etcdctl etcdutl; do
		file=$(command -v "$program") || continue
		cp "$(readlink -f "$file")" "$1/$program" || return 1
		chmod 0700 "$1/$program"
	done
}

# restores DIR ARGUMENT... is snapshot restore; below etcd 3.5 etcdctl has it.
restores() {
	programs=$1
	shift
	if [ -f "$programs/etcdutl" ]; then
		"$programs/etcdutl" snapshot restore "$@"
	else
		ETCDCTL_API=3 "$programs/etcdctl" snapshot restore "$@"
	fi
}

# fits DIR VERSION tells whether the etcd in DIR is of the version and can restore.
fits() {
	printed=$("$1/etcd" --version 2>/dev/null | sed -n 's/^etcd Version: //p')
	[ "$printed" = "$2" ] && restores "$1" --help >/dev/null 2>&1
}

# brought DIR VERSION IMAGE SOCKET BUMP sees to it that DIR holds etcd's programs;
# the file DIR/from then says where they are from. With BUMP the restore must know
# --bump-revision.
brought() {
	if [ ! -f "$1/from" ]; then
		(umask 077 && mkdir -p "$1")
		unmounted "$1" "${4#unix://}"
		room "$1" 0 262144
		found=
		for way in ctr podman docker member host; do
			[ -n "$3" ] || [ "$way" = host ] || continue
			rm -rf "$1/etcd" "$1/etcdctl" "$1/etcdutl" "$1/root" "$1/image"
			"from_$way" "$1" "$3" "${4#unix://}" || continue
			! fits "$1" "$2" || { found=$way && break; }
		done
		why=$(tail -n 1 "$1/why" 2>/dev/null || :)
		rm -f "$1/why"
		case $found in
		'') fail 69 "etcd $2 is not to be had on this host: neither from the image ${3:-(none)} nor installed${why:+ ($why)}" ;;
		host) echo "binary $(command -v etcd)" >"$1/from~" ;;
		*) echo "image $3" >"$1/from~" ;;
		esac
		sync
		mv "$1/from~" "$1/from"
	fi
	[ -z "$5" ] || restores "$1" --help 2>&1 | grep -q -e --bump-revision ||
		fail 69 "etcd $2, $(cat "$1/from"), does not know snapshot restore --bump-revision"
}

# room DIR BYTES LEAST [share] fails when writing so much, and a quarter of a GiB for
# programs and logs, would leave the disk with less than LEAST KiB. With share a fifth
# of the disk must stay free too: kubelets remove images, then pods, from about there
# on. On a disk that is that full already a twentieth of what is left may be written.
room() {
	need=$((($2 + 268435456) / 1024)) least=$3 share=${4:-}
	set -- "$1" $(df -Pk "$1" | tail -n 1)
	left=$(($5 - need))
	[ "$left" -ge "$least" ] || fail 73 "$1 has $(($5 / 1024)) MiB free, too little for $((need / 1024)) MiB more"
	[ -z "$share" ] || [ "$left" -ge $(($3 / 5)) ] || [ "$need" -le $(($5 / 20)) ] ||
		fail 73 "$1 has $(($5 / 1024)) MiB free; with $((need / 1024)) MiB more less than a fifth of its disk would be left"
}

# machine FILE tells whether what a program said there is about the host.
machine() {
	grep -qiE 'no space left|input/output error|cannot allocate memory|too many open files|read-only file system|permission denied|operation not permitted|resource temporarily unavailable' "$1"
}

# judged CODE FILE WHAT ends with 75 or 65 when a program failed.
judged() {
	[ "$1" != 0 ] || return 0
	said=$(grep -E '^(Error|panic|fatal)|"level":"(fatal|panic)"' "$2" | head -n 1 | cut -c 1-400)
	[ -n "$said" ] || said=$(tail -n 1 "$2" | cut -c 1-400)
	[ "$1" -lt 125 ] && ! machine "$2" || fail 75 "$3: exit code $1: $said"
	fail 65 "$3: $said"
}
