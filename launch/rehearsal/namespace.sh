# Makes DIRECTORY /opt/ml and HOSTS /etc/hosts in this mount namespace, and becomes the command.
# Use: namespace.sh DIRECTORY HOSTS NAME [READ-ONLY ...] -- COMMAND ...
set -e
directory=$1 hosts=$2 name=$3
shift 3
if [ ! -d /opt/ml ] && ! mkdir -p /opt/ml 2>/dev/null; then
    # An ordinary user cannot make it: a copy of /opt that has it is laid over /opt.
    opt="$directory/../opt"
    mkdir -p "$opt"
    mount -t tmpfs tmpfs "$opt"
    for each in /opt/*; do
        [ -d "$each" ] && mkdir "$opt/${each##*/}" && mount --rbind "$each" "$opt/${each##*/}"
    done
    mkdir "$opt/ml"
    mount --rbind "$opt" /opt
fi
mount --bind "$directory" /opt/ml
mount --bind "$hosts" /etc/hosts
hostname "$name" 2>/dev/null || true
while [ "$1" != -- ]; do
    mount --bind -o ro "/opt/ml/$1" "/opt/ml/$1"
    shift
done
shift
cd /opt/ml/code
unset OLDPWD
exec "$@"
