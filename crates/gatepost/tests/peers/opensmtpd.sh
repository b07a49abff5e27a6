# OpenSMTPD: takes mail for peer.example, relays all other mail to port $NEXT_PORT.
set -eu
users='opensmtpd:901 opensmtpq:902 alice:903'
. /start/users.sh
mkdir -p /var/empty /run/opensmtpd
mkdir -p -m 711 /var/spool/smtpd
cat > /etc/smtpd.conf << CONFIG
listen on 127.0.0.1 port $PEER_PORT hostname "peer.example"
action "local" maildir "/exchange/mail/alice"
action "out" relay host "smtp://127.0.0.1:$NEXT_PORT"
match from any for rcpt-to "refused@peer.example" reject
match from any for domain "peer.example" action "local"
match from any for any action "out"
CONFIG
exec /usr/sbin/smtpd -d
