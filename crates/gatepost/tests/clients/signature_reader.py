"""Verifies signatures with dkimpy. Standard input is JSON: TXT records by name, and messages in base64. Prints a line for
each message: what came of each of its DKIM signatures, and of its ARC chain."""

import base64
import json
import sys

import dkim

given = json.load(sys.stdin)
records = {name.rstrip(".").lower(): text.encode() for name, text in given["records"].items()}


def txt(name, timeout=5):
    return records.get(name.decode().rstrip(".").lower())


for message in given["messages"]:
    octets = base64.b64decode(message)
    verifier = dkim.DKIM(octets)
    count = sum(1 for name, _ in verifier.headers if name.lower() == b"dkim-signature")
    words = []
    for place in range(count):
        try:
            words.append("pass" if dkim.DKIM(octets).verify(idx=place, dnsfunc=txt) else "fail")
        except dkim.DKIMException as error:
            words.append(f"error: {error}")
    chain, _, why = dkim.ARC(octets).verify(dnsfunc=txt)
    # A chain that was sealed as failed has ended.
    chain = "ended" if chain is None else chain.decode()
    print(f"dkim={','.join(words) or 'none'} arc={chain}" + (f" ({why})" if chain == "fail" else ""))
