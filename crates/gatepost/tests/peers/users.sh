# Makes the users NAME:NUMBER that are given, in the jail's own /etc.
for user in $users; do
    name=${user%%:*} number=${user##*:}
    getent passwd "$name" > /dev/null || echo "$name:x:$number:$number::/nonexistent:/usr/sbin/nologin" >> /etc/passwd
    getent group "$name" > /dev/null || echo "$name:x:$number:" >> /etc/group
done
chmod 777 /exchange
mkdir -p -m 777 /exchange/mail
