# Debian's opendkim, which signs mail of example.net.
set -eu
mkdir -p /run/opendkim /var/tmp/key
openssl genrsa -out /var/tmp/key/private.pem 2048 2>/dev/null
cat > /var/tmp/opendkim.conf <<END
Syslog no
Mode s
Domain example.net
Selector s1
KeyFile /var/tmp/key/private.pem
RequireSafeKeys no
InternalHosts 127.0.0.0/8
Socket local:/exchange/socket
UMask 000
END
exec /usr/sbin/opendkim -f -x /var/tmp/opendkim.conf
