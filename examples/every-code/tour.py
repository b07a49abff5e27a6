"""Produces each reply code of RFC 2821 §4.2.3 by its own condition and prints what caused it and what came; see tour.sh.

Each stop of the tour is a dialogue from a loopback address of its own, so that no stop uses up the limits of another.
"""

import argparse
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading

# RFC 2821 §4.2.3, in its order of numbers.
CODES = [
    211, 214, 220, 221, 250, 251, 252, 354, 421, 450, 451, 452, 500, 501, 502, 503, 504, 550, 551, 552, 553, 554,
]

# Longest wait for a reply, in seconds: the idle time-out of the site is 10.
PATIENCE = 20

# Octets over the site's limit of 1 MiB.
TOO_MANY_OCTETS = 1024 * 1024 + 1

TRUSTED = "127.0.0.1"
STRANGER = "127.0.0.3"
REFUSED = "127.0.0.9"


class Gone(Exception):
    """The server closed the connection, or said nothing in time."""


class Table:
    """What was shown: rows of code, place in the tour, cause and reply."""

    def __init__(self):
        self.rows = []
        self.lock = threading.Lock()

    def add(self, expected, cause, reply, note=""):
        """Adds `reply`, a list of lines, which ought to begin with `expected`: `452 4.5.3` or a code alone. The last
        line decides, as every line of a reply bears the same code. `note` is what the text must hold."""
        last = reply[-1] if reply else ""
        text = "\n".join(reply)
        good = (last == expected or last.startswith(expected + " ")) and note in text
        with self.lock:
            self.rows.append((int(expected[:3]), len(self.rows), expected, cause, reply, note, good))

    def shown(self):
        """The codes that were seen and never differed."""
        wrong = {row[0] for row in self.rows if not row[6]}
        return [code for code in CODES if code not in wrong and any(row[0] == code for row in self.rows)]

    def print(self):
        columns = max(shutil.get_terminal_size((120, 24)).columns, 80)
        width = min(max(len(row[3]) for row in self.rows), 56)
        print(f"code  {'caused by':{width}}  reply as received")
        print(f"----  {'-' * width}  {'-' * max(columns - width - 8, 20)}")
        previous = None
        for code, _, expected, cause, reply, note, good in sorted(self.rows):
            label = str(code) if code != previous else ""
            previous = code
            causes = textwrap.wrap(cause, width)
            lines = list(reply) or ["(nothing)"]
            if not good:
                lines.append(f"DIFFERS: expected {expected}" + (f" with {note!r}" if note else ""))
            for index in range(max(len(causes), len(lines))):
                left = causes[index] if index < len(causes) else ""
                right = lines[index] if index < len(lines) else ""
                print(f"{label if index == 0 else '':4}  {left:{width}}  {right}".rstrip())


class Client:
    """A connection to the server from a source address."""

    def __init__(self, server, source):
        self.socket = socket.create_connection(server, timeout=PATIENCE, source_address=(source, 0))
        self.lines = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def reply(self):
        """The next reply, as a list of lines."""
        reply = []
        while True:
            try:
                line = self.lines.readline()
            except OSError as error:
                raise Gone(f"no reply: {error}") from error
            if not line.endswith(b"\r\n"):
                raise Gone("the server closed the connection")
            reply.append(line[:-2].decode("utf-8", "replace"))
            if line[3:4] != b"-":
                return reply

    def ask(self, command):
        self.socket.sendall(command.encode() + b"\r\n")
        return self.reply()

    def send(self, octets):
        self.socket.sendall(octets)
        return self.reply()

    def is_closed(self):
        try:
            return self.lines.read(1) == b""
        except OSError:
            return False

    def transaction(self, *recipients):
        """MAIL and RCPTs whose replies are of no interest here."""
        self.ask("MAIL FROM:<tourist@elsewhere.example>")
        for recipient in recipients:
            self.ask(f"RCPT TO:<{recipient}@example.org>")


class Server:
    """A running server."""

    def __init__(self, arguments, name, listen, fault=None):
        self.log_file = pathlib.Path(arguments.state) / f"{name}.log"
        command = [arguments.gatepost, "run", "--config", arguments.config]
        command += ["--state", str(pathlib.Path(arguments.state) / name), "--listen", listen]
        if fault:
            command += ["--fault", fault]
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        first = self.process.stdout.readline().decode()
        timer.cancel()
        found = re.search(r"listening on (\S+):(\d+)", first)
        if not found:
            self.stop()
            sys.exit(f"the server did not start:\n{self.log_file.read_text(errors='replace')}")
        self.address = (found[1].strip("[]"), int(found[2]))

    def client(self, source=TRUSTED):
        return Client(self.address, source)

    def terminate(self):
        self.process.terminate()

    def stop(self):
        """Ends the server, by force if need be."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def show_dialogue(table, server):
    """The commands of an ordinary session, from the client that the site trusts."""
    with server.client() as client:
        table.add("220", "connection", client.reply())
        table.add("503 5.5.1", "MAIL before EHLO", client.ask("MAIL FROM:<tourist@elsewhere.example>"))
        table.add("501 5.5.4", "EHLO without a name", client.ask("EHLO"))
        table.add("250", "EHLO tour.example", client.ask("EHLO tour.example"))
        table.add("214 2.0.0", "HELP", client.ask("HELP"))
        table.add("214 2.0.0", "HELP RCPT", client.ask("HELP RCPT"))
        table.add("504 5.5.4", "HELP TEA, which is no command", client.ask("HELP TEA"))
        table.add("211 2.0.0", f"HELP STATUS from {TRUSTED}, trusted", client.ask("HELP STATUS"), "queue:")
        table.add("250 2.0.0", "NOOP", client.ask("NOOP"))
        table.add("500 5.5.1", "TEA, an unknown command", client.ask("TEA"))
        table.add("500 5.5.2", "NOOP with 600 octets behind it", client.ask("NOOP " + "x" * 600))
        table.add("502 5.5.1", "TURN, known and not offered", client.ask("TURN"))
        table.add("503 5.5.1", "RCPT before MAIL", client.ask("RCPT TO:<alice@example.org>"))
        table.add("221 2.0.0", "QUIT", client.ask("QUIT"))


def show_inquiries(table, server):
    """VRFY and EXPN, from a client that is told the truth and from one that is not."""
    with server.client() as client:
        client.reply()
        client.ask("EHLO tour.example")
        for name, expected in [
            ("alice", "250 2.1.5"), ("carol", "251 2.1.5"), ("erin", "551 5.1.6"), ("nobody", "550 5.1.1"),
        ]:
            table.add(expected, f"VRFY {name} from {TRUSTED}", client.ask(f"VRFY {name}"))
        table.add("250 2.1.5", f"EXPN team from {TRUSTED}", client.ask("EXPN team"), "bob@example.org")
    with server.client(STRANGER) as client:
        client.reply()
        client.ask("EHLO tour.example")
        for name in ["alice", "nobody"]:
            table.add("252 2.0.0", f"VRFY {name} from {STRANGER}", client.ask(f"VRFY {name}"))
        table.add("502 5.5.1", f"EXPN team from {STRANGER}", client.ask("EXPN team"))
        table.add("211 2.0.0", f"HELP STATUS from {STRANGER}, not trusted", client.ask("HELP STATUS"))


def show_recipients(table, server):
    """What RCPT says to each kind of recipient, and a message that is taken."""
    with server.client() as client:
        client.reply()
        client.ask("EHLO tour.example")
        table.add("501 5.1.7", "MAIL without brackets", client.ask("MAIL FROM:tourist@elsewhere.example"))
        table.add("553 5.1.7", "MAIL from an ill-formed mailbox", client.ask("MAIL FROM:<a..b@elsewhere.example>"))
        table.add("504 5.5.4", "MAIL with BODY=9BIT", client.ask("MAIL FROM:<tourist@elsewhere.example> BODY=9BIT"))
        table.add("552 5.3.4", f"MAIL with SIZE={TOO_MANY_OCTETS}",
                  client.ask(f"MAIL FROM:<tourist@elsewhere.example> SIZE={TOO_MANY_OCTETS}"))
        table.add("250 2.1.0", "MAIL", client.ask("MAIL FROM:<tourist@elsewhere.example>"))
        table.add("503 5.5.1", "DATA before RCPT", client.ask("DATA"))
        for recipient, what, expected, note in [
            ("alice@example.org", "a mailbox", "250 2.1.5", ""),
            ("bob+lists@example.org", "a sub-address", "250 2.1.5", ""),
            ("Postmaster", "always accepted", "250 2.1.5", ""),
            ("dave@example.org", "forwards, undisclosed", "250 2.1.5", ""),
            ("carol@example.org", "forwards, disclosed", "251 2.1.5", "<carol@elsewhere.example>"),
            ("frank@example.org", "busy", "450 4.2.1", ""),
            ("heidi@example.org", "over quota, for now", "452 4.2.2", ""),
            ("grace@example.org", "over quota", "552 5.2.2", ""),
            ("nobody@example.org", "no such mailbox", "550 5.1.1", "no such mailbox"),
            ("bob@elsewhere.example", "a foreign domain", "550 5.7.1", "relaying denied"),
            ("erin@example.org", "moved", "551 5.1.6", "<erin@new.example>"),
            ("a..b@example.org", "an ill-formed mailbox", "553 5.1.3", ""),
            ("ünal@example.org", "not ASCII, no SMTPUTF8", "553 5.6.7", ""),
        ]:
            table.add(expected, f"RCPT TO:<{recipient}>: {what}", client.ask(f"RCPT TO:<{recipient}>"), note)
        table.add("354", "DATA", client.ask("DATA"))
        message = b"From: tourist@elsewhere.example\r\nSubject: tour\r\n\r\nhello\r\n.\r\n"
        table.add("250 2.6.0", "end of data, the message being on disk", client.send(message), "queued as")


def show_messages(table, server):
    """Transactions that end in a refusal of the whole message, and one that meets the limit of recipients."""
    with server.client("127.0.0.4") as client:
        client.reply()
        client.ask("EHLO tour.example")
        client.transaction("nobody")
        table.add("554 5.5.1", "DATA when every RCPT was refused", client.ask("DATA"))
        client.ask("RSET")
        for cause, data, expected in [
            ("end of data with a bare LF in them", b"hello\nworld\r\n.\r\n", "554 5.6.0"),
            ("end of data that passed 101 servers", b"Received: by x\r\n" * 101 + b"\r\n.\r\n", "554 5.4.6"),
            ("end of data over 1 MiB", b"x" * 78 + b"\r\n" + (b"x" * 78 + b"\r\n") * 13_200 + b".\r\n", "552 5.3.4"),
        ]:
            client.transaction("alice")
            client.ask("DATA")
            table.add(expected, cause, client.send(data))
        client.transaction(*(f"alice+{number}" for number in range(10)))
        table.add("452 4.5.3", "RCPT, the eleventh", client.ask("RCPT TO:<alice+10@example.org>"))


def show_refused_client(table, server):
    """A client that the site does not serve (RFC 5321 §3.1)."""
    with server.client(REFUSED) as client:
        table.add("554 5.7.1", f"connection from {REFUSED}", client.reply())
        table.add("503 5.5.1", f"EHLO from {REFUSED}", client.ask("EHLO tour.example"))
        table.add("221 2.0.0", f"QUIT from {REFUSED}", client.ask("QUIT"))


def show_closed(table, client, cause, expected):
    """The next reply is the last: the connection is closed behind it."""
    reply = client.reply()
    table.add(expected, cause, reply if client.is_closed() else [])


def show_limits(table, server):
    """Connections, errors, and another protocol: 421, then the close."""
    clients = [server.client("127.0.0.5") for _ in range(6)]
    for client in clients[:5]:
        client.reply()
    show_closed(table, clients[5], "sixth connection from one address", "421 4.7.0")
    for client in clients:
        client.__exit__()
    with server.client("127.0.0.6") as client:
        client.reply()
        for _ in range(20):
            client.ask("TEA")
        show_closed(table, client, "20 errors in one session", "421 4.7.0")
    with server.client("127.0.0.7") as client:
        client.reply()
        client.socket.sendall(b"GET / HTTP/1.1\r\n")
        show_closed(table, client, "GET / HTTP/1.1", "421")


def show_idle(table, server):
    """Ten seconds without a command."""
    with server.client("127.0.0.8") as client:
        client.reply()
        show_closed(table, client, "10 seconds without a command", "421 4.4.2")


def show_shutdown(table, server):
    """SIGTERM while a session is idle."""
    with server.client() as client:
        client.reply()
        server.terminate()
        show_closed(table, client, "SIGTERM to the server, the session being idle", "421 4.3.2")


def show_full_disk(table, server):
    with server.client() as client:
        client.reply()
        client.ask("EHLO tour.example")
        reply = client.ask("MAIL FROM:<tourist@elsewhere.example>")
        table.add("452 4.3.1", "MAIL with `--fault disk-full`", reply)


def show_failing_spool(table, server):
    with server.client() as client:
        client.reply()
        client.ask("EHLO tour.example")
        client.transaction("alice")
        client.ask("DATA")
        reply = client.send(b"Subject: tour\r\n\r\nhello\r\n.\r\n")
        table.add("451 4.3.0", "end of data with `--fault spool-write`", reply)


STOPS = [show_dialogue, show_inquiries, show_recipients, show_messages, show_refused_client, show_limits]


def tour(arguments, table, servers):
    def start(*options):
        servers.append(Server(arguments, *options))
        return servers[-1]

    def stop_at(stop, server):
        try:
            stop(table, server)
        except (Gone, OSError) as error:
            what = (stop.__doc__ or stop.__name__).splitlines()[0]
            print(f"cut short: {what} ({error})", file=sys.stderr)

    site = start("site", arguments.listen)
    # The idle time-out takes its ten seconds beside everything else.
    idle = threading.Thread(target=stop_at, args=(show_idle, site), daemon=True)
    idle.start()
    for stop in STOPS:
        stop_at(stop, site)
    stop_at(show_full_disk, start("disk-full", "127.0.0.1:0", "disk-full"))
    stop_at(show_failing_spool, start("spool-write", "127.0.0.1:0", "spool-write"))
    idle.join(PATIENCE)
    stop_at(show_shutdown, site)


def main():
    parser = argparse.ArgumentParser(prog="tour.sh", description="Shows every reply code of RFC 2821 §4.2.3.")
    parser.add_argument("--gatepost", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--config", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--state", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--listen", default="127.0.0.1:2525", metavar="ADDRESS:PORT", help="where the site listens")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    table, servers = Table(), []
    try:
        tour(arguments, table, servers)
    finally:
        for server in servers:
            server.stop()
    table.print()
    shown = table.shown()
    missing = [str(code) for code in CODES if code not in shown]
    if missing:
        print(f"missing or different: {' '.join(missing)}")
    print(f"{len(shown)} of {len(CODES)} codes")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
