# Debian's rspamd with its own configuration, but for ports, the DNS that isn't there, and what is learnt.
set -eu
mkdir -p /run/rspamd /var/lib/rspamd /var/log/rspamd /etc/rspamd/local.d
cat > /etc/rspamd/local.d/worker-proxy.inc <<END
bind_socket = "/exchange/socket mode=0666";
upstream "local" { default = yes; self_scan = yes; }
END
echo 'bind_socket = "/exchange/http mode=0666";' > /etc/rspamd/local.d/worker-normal.inc
echo 'enabled = false;' > /etc/rspamd/local.d/worker-controller.inc
echo 'enabled = false;' > /etc/rspamd/local.d/worker-fuzzy.inc
echo 'dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; } filters = ""; local_addrs = [];' \
    > /etc/rspamd/local.d/options.inc
echo 'type = "console";' > /etc/rspamd/local.d/logging.inc
export LD_LIBRARY_PATH=/usr/lib/rspamd
exec /usr/bin/rspamd --insecure --no-fork -u root -g root -c /etc/rspamd/rspamd.conf
