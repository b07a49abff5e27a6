# Postfix: takes mail for peer.example, relays all other mail to port $NEXT_PORT.
set -eu
users='postfix:901 postdrop:902 vmail:903'
. /start/users.sh
mkdir -p /etc/postfix /var/lib/postfix /var/spool/postfix
chown postfix /var/lib/postfix
: > /etc/postfix/dynamicmaps.cf
sed "s/^smtp      inet .*/127.0.0.1:$PEER_PORT inet n - n - - smtpd/; s/^\([a-z]* *unix *[-n] *[-n] *\)[-y]/\1n/" \
    /usr/share/postfix/master.cf.dist > /etc/postfix/master.cf
cat > /etc/postfix/main.cf << CONFIG
compatibility_level = 3.6
maillog_file = /exchange/log
maillog_file_prefixes = /exchange
myhostname = peer.example
mydestination =
alias_maps =
alias_database =
virtual_mailbox_domains = peer.example
virtual_mailbox_base = /exchange/mail
virtual_mailbox_maps = static:alice/
virtual_uid_maps = static:903
virtual_gid_maps = static:903
smtpd_recipient_restrictions = check_recipient_access inline:{{refused@peer.example = REJECT refused here}}, permit_mynetworks, reject
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:$NEXT_PORT
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtpd_tls_cert_file = /exchange/certificate.pem
smtpd_tls_key_file = /exchange/key.pem
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtp_tls_security_level = may
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
CONFIG
/usr/sbin/postfix -c /etc/postfix set-permissions create-missing || true
exec /usr/lib/postfix/sbin/master -c /etc/postfix -d
