"""Reads a delivery status notification on standard input with Python's email package and prints what it says, a line
each: its type, the types of its parts, the fields of each recipient's group, and the subject of what came back."""

import email
import email.policy
import sys

report = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.SMTP)
if report.defects:
    sys.exit(f"defects: {report.defects}")
print(report.get_content_type(), report.get_param("report-type"))
parts = list(report.iter_parts())
print(" ".join(part.get_content_type() for part in parts))
groups = parts[1].get_payload()
for group in groups[1:]:
    for name in ["Final-Recipient", "Action", "Status", "Diagnostic-Code", "Remote-MTA"]:
        print(f"{name}: {group[name]}")
returned = parts[2].get_content()
if isinstance(returned, bytes):
    returned = returned.decode()
subject = returned["Subject"] if not isinstance(returned, str) else email.message_from_string(returned)["Subject"]
print(f"Subject: {subject}")
