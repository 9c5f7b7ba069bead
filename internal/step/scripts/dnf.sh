# Functions of the dnf scripts.

export LC_ALL=C
dnf=$(command -v dnf || command -v yum) || fail 69 'neither dnf nor yum is on PATH'

# present PIN... tells whether exactly these versions are installed.
present() {
	for pin in "$@"; do
		[ "$(rpm -q --qf '%{VERSION}-%{RELEASE}' "${pin%%=*}" 2>/dev/null)" = "${pin#*=}" ] || return 1
	done
}

# source_of REPOSITORY KEY HOLD prints the content of a repository file. With rpm,
# being on hold is an exclude line of the repository.
source_of() {
	printf '[kubernetes]\nname=Kubernetes\nbaseurl=%s\nenabled=1\ngpgcheck=1\n' "$1"
	case $2 in
	'') ;;
	/*) printf 'gpgkey=file://%s\n' "$2" ;;
	*) printf 'gpgkey=%s\n' "$2" ;;
	esac
	[ "$3" != true ] || echo 'exclude=kubelet kubeadm kubectl cri-tools kubernetes-cni'
}

# wanted FUNCTION PIN... calls the function with name-version words, as dnf knows them.
wanted() {
	call=$1
	shift
	for pin in "$@"; do
		shift
		set -- "$@" "${pin%%=*}-${pin#*=}"
	done
	"$call" "$@"
}
