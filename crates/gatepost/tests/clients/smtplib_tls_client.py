"""Sends a message with Python's smtplib over STARTTLS: PORT CA-FILE, the message on standard input."""

import smtplib
import ssl
import sys

port, ca_file = sys.argv[1:]
message = sys.stdin.buffer.read()
context = ssl.create_default_context(cafile=ca_file)
with smtplib.SMTP("localhost", int(port), local_hostname="client.example", timeout=30) as client:
    client.starttls(context=context)
    refused = client.sendmail("sender@client.example", ["alice@example.org"], message)
sys.exit(f"refused: {refused}" if refused else 0)
