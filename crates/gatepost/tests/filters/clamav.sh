# Debian's clamd with one signature, that of the EICAR test file, and clamav-milter in front of it.
set -eu
mkdir -p /var/tmp/db
echo 'Eicar-Test-Signature:0:*:58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e444152442d414e544956495255532d544553542d46494c452124482b482a' > /var/tmp/db/test.ndb
cat > /var/tmp/clamd.conf <<END
Foreground yes
DatabaseDirectory /var/tmp/db
LocalSocket /exchange/clamd
LocalSocketMode 666
OfficialDatabaseOnly no
END
cat > /var/tmp/milter.conf <<END
Foreground yes
MilterSocket unix:/exchange/socket
MilterSocketMode 666
ClamdSocket unix:/exchange/clamd
OnInfected Reject
RejectMsg Infected by %v
AddHeader Replace
END
/usr/sbin/clamd --config-file=/var/tmp/clamd.conf &
until [ -S /exchange/clamd ]; do sleep 0.1; done
exec /usr/sbin/clamav-milter --config-file=/var/tmp/milter.conf
