# Installs exact versions from one repository. Safe to run again from any point.
# dnf waits for the lock of another one by itself.
file=$1 repository=$2 key=$3 keep=$4 hold=$5 version=$6 unit=$7 downgrade=$8
shift 8
names=
for pin in "$@"; do names="$names ${pin%%=*}"; done

source_of "$repository" "$key" "$hold" | replaced "$file" "$keep"
if present "$@"; then
	echo 'installed already'
else
	verb=install
	[ "$downgrade" != true ] || verb=downgrade
	swap() {
		"$dnf" -y "$verb" --disableplugin=versionlock --disableexcludes=kubernetes \
			--setopt=install_weak_deps=False "$@" </dev/null ||
			fail 66 "$* could not be installed from $repository; see the lines above"
	}
	wanted swap "$@"
fi
present "$@" || fail 70 "dnf ended well, but not all of $* is installed"
verified "$version" $names || fail 70 "$(command -v "$name") says ${got:-nothing}, want $version: another $name is found before the package's"
restarted "$unit"
