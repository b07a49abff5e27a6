# Dovecot: knows the passwords of users at /exchange/auth, and takes mail for alice, bob and the full mailbox of peer.example over LMTP, at /exchange/lmtp and $PEER_PORT.
set -eu
users='dovecot:901 dovenull:902 vmail:903'
. /start/users.sh
mkdir -p /run/dovecot
cat > /etc/dovecot.conf << CONFIG
protocols = lmtp
base_dir = /run/dovecot
log_path = /exchange/log
mail_location = maildir:/exchange/mail/%n
ssl = no
first_valid_uid = 100
mail_plugins = quota
userdb {
  driver = passwd-file
  args = /etc/dovecot.users
}
passdb {
  driver = passwd-file
  args = /etc/dovecot.users
}
plugin {
  quota = maildir:User quota
  quota_rule = *:storage=100M
}
service auth {
  unix_listener /exchange/auth {
    mode = 0666
  }
}
service lmtp {
  unix_listener /exchange/lmtp {
    mode = 0666
  }
  inet_listener lmtp {
    address = 127.0.0.1
    port = $PEER_PORT
  }
}
CONFIG
cat > /etc/dovecot.users << USERS
alice@peer.example:{PLAIN}x:903:903::/exchange/mail/alice::
bob@peer.example:{PLAIN}x:903:903::/exchange/mail/bob::
full@peer.example:{PLAIN}x:903:903::/exchange/mail/full::userdb_quota_rule=*:storage=1B
USERS
exec /usr/sbin/dovecot -F -c /etc/dovecot.conf
