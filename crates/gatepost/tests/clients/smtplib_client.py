"""Sends messages with Python's smtplib: HOST PORT RECIPIENT KIND, the message on standard input.

KIND is what the message needs: `plain`; `eight-bit`, MAIL with BODY=8BITMIME; `utf8`, a reverse-path and a recipient
that are not ASCII, with SMTPUTF8.
"""

import smtplib
import sys

host, port, recipient, kind = sys.argv[1:]
message = sys.stdin.buffer.read()
options = {
    "plain": [],
    "eight-bit": ["BODY=8BITMIME"],
    "utf8": ["BODY=8BITMIME", "SMTPUTF8"],
}[kind]
sender = "jürgen@client.example" if kind == "utf8" else "sender@client.example"
with smtplib.SMTP(host, int(port), local_hostname="client.example", timeout=30) as client:
    refused = client.sendmail(sender, [recipient], message, mail_options=options)
sys.exit(f"refused: {refused}" if refused else 0)
