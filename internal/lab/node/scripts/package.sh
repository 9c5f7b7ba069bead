# Installs one version of a package, newer or older than what is there, and holds
# it. $1: its name. $2: the version. $3: the repository's line.
set -eu
export DEBIAN_FRONTEND=noninteractive
source=$(mktemp --suffix=.list)
trap 'rm -f "$source"' EXIT
echo "$3" >"$source"
options="-o Dir::Etc::sourcelist=$source -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0"
# The options hold no blanks.
apt-get -q update $options
apt-get -q -y install $options -o DPkg::Lock::Timeout=120 --allow-downgrades --allow-change-held-packages "$1=$2"
apt-mark hold "$1"
