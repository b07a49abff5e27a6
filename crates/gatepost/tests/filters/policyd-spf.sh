# Debian's policyd-spf, which Postfix starts for each connection: here a few lines do.
set -eu
exec python3 - <<'END'
import socket, subprocess
listener = socket.socket(socket.AF_UNIX)
listener.bind("/exchange/socket")
listener.listen()
while True:
    connection, _ = listener.accept()
    subprocess.Popen(["/usr/bin/policyd-spf"], stdin=connection, stdout=connection)
    connection.close()
END
