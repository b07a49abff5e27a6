"""Submits a message by smtplib: HOST PORT USER PASSWORD."""

import email.message
import smtplib
import sys

host, port, user, password = sys.argv[1:]
message = email.message.EmailMessage()
message["From"] = user
message["To"] = user
message["Subject"] = "by smtplib"
message.set_content("hello\n")
with smtplib.SMTP(host, int(port)) as client:
    client.login(user, password)
    client.send_message(message)
