# Exim: takes mail for peer.example, relays all other mail to port $NEXT_PORT.
set -eu
users='Debian-exim:901'
. /start/users.sh
mkdir -p /etc/exim4 /var/spool/exim4 /var/log/exim4
cp /exchange/key.pem /etc/exim4/key.pem
chown -R Debian-exim:Debian-exim /var/spool/exim4 /var/log/exim4 /etc/exim4/key.pem
cat > /etc/exim4/exim4.conf << CONFIG
keep_environment =
notifier_socket =
primary_hostname = peer.example
exim_user = Debian-exim
exim_group = Debian-exim
local_interfaces = 127.0.0.1
daemon_smtp_ports = $PEER_PORT
acl_smtp_rcpt = check
tls_advertise_hosts = *
tls_certificate = /exchange/certificate.pem
tls_privatekey = /etc/exim4/key.pem
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
begin acl
check:
  deny message = refused here
       local_parts = refused
  accept
begin routers
local:
  driver = accept
  domains = peer.example
  transport = maildir
out:
  driver = manualroute
  route_list = * 127.0.0.1
  transport = smtp
  self = send
begin transports
maildir:
  driver = appendfile
  directory = /exchange/mail/alice
  maildir_format
  message_prefix =
  message_suffix =
  create_directory
  user = Debian-exim
smtp:
  driver = smtp
  port = $NEXT_PORT
  hosts_try_chunking = *
begin retry
* * F,2h,1s
CONFIG
chown root:root /etc/exim4/exim4.conf
exec /usr/sbin/exim4 -bdf -q1s
