# Debian's postgrey, which lets through who comes back after a second.
set -eu
mkdir -p /var/tmp/postgrey
exec /usr/sbin/postgrey --unix=/exchange/socket --dbdir=/var/tmp/postgrey --delay=1 --user=root --group=root \
    --hostname=mx.example.org
