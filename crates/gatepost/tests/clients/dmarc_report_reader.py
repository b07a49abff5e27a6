"""Reads a mail with a DMARC aggregate report from standard input, strictly as RFC 9990 has it.

Prints `valid`, the policy domain and the number of records; ends with what is wrong otherwise.
"""

import email
import email.policy
import gzip
import ipaddress
import re
import sys
import xml.etree.ElementTree as tree

NAMESPACE = "{urn:ietf:params:xml:ns:dmarc-2.0}"
WORDS = {
    "action": {"none", "pass", "quarantine", "reject"},
    "policy": {"none", "quarantine", "reject"},
    "result": {"pass", "fail"},
    "dkim": {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"},
    "spf": {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"},
    "reason": {"local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder"},
    "alignment": {"r", "s"},
}


def children(element, expected, ordered=True):
    """The children by name: `name` once, `name?` at most once, `name*` any number, `name+` at least one."""
    names = [re.sub(r"[?*+]$", "", name) for name in expected]
    found = {name: [] for name in names}
    place = 0
    for child in element:
        assert child.tag.startswith(NAMESPACE), child.tag
        name = child.tag[len(NAMESPACE):]
        assert name in found, f"{name} in {element.tag}"
        if ordered:
            assert names.index(name) >= place, f"{name} stands too late in {element.tag}"
            place = names.index(name)
        found[name].append(child)
    for name, wanted in zip(names, expected):
        count = len(found[name])
        assert count == 1 or wanted[-1] in "?*" and count == 0 or wanted[-1] in "*+" and count > 0, f"{count} {name}"
    return found


def text(found, name, words=None):
    value = found[name][0].text or ""
    assert words is None or value in WORDS[words], f"{name}: {value}"
    return value


def read_record(record):
    parts = children(record, ["row", "identifiers", "auth_results"])
    row = children(parts["row"][0], ["source_ip", "count", "policy_evaluated"])
    ipaddress.ip_address(text(row, "source_ip"))
    assert int(text(row, "count")) > 0
    evaluated = children(row["policy_evaluated"][0], ["disposition", "dkim", "spf", "reason*"])
    text(evaluated, "disposition", "action"), text(evaluated, "dkim", "result"), text(evaluated, "spf", "result")
    for reason in evaluated["reason"]:
        text(children(reason, ["type", "comment?"]), "type", "reason")
    identifiers = children(parts["identifiers"][0], ["header_from", "envelope_from?", "envelope_to?"], False)
    assert text(identifiers, "header_from")
    results = children(parts["auth_results"][0], ["dkim*", "spf?"])
    for dkim in results["dkim"]:
        text(children(dkim, ["domain", "selector", "result", "human_result?"], False), "result", "dkim")
    for spf in results["spf"]:
        found = children(spf, ["domain", "scope?", "result", "human_result?"], False)
        text(found, "result", "spf")
        assert not found["scope"] or text(found, "scope") == "mfrom"


def main():
    message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
    assert not message.defects, message.defects
    attachments = list(message.iter_attachments())
    assert len(attachments) == 1 and attachments[0].get_content_type() == "application/gzip"
    name = attachments[0].get_filename()
    root = tree.fromstring(gzip.decompress(attachments[0].get_content()))
    assert root.tag == NAMESPACE + "feedback", root.tag
    report = children(root, ["version?", "report_metadata", "policy_published", "extension?", "record+"])
    assert text(report, "version") == "1.0"
    metadata = children(
        report["report_metadata"][0],
        ["org_name", "email", "extra_contact_info?", "report_id", "date_range", "error?", "generator?"],
        False,
    )
    report_id, times = text(metadata, "report_id"), children(metadata["date_range"][0], ["begin", "end"], False)
    begin, end = int(text(times, "begin")), int(text(times, "end"))
    assert begin % 86400 == 0 and end - begin == 86399
    atom = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    assert re.fullmatch(f"{atom}(@{atom})?", report_id), report_id
    published = children(
        report["policy_published"][0],
        ["domain", "discovery_method?", "p", "sp?", "np?", "fo?", "adkim?", "aspf?", "testing?"],
        False,
    )
    domain = text(published, "domain")
    text(published, "p", "policy")
    for key, words in [("sp", "policy"), ("np", "policy"), ("adkim", "alignment"), ("aspf", "alignment")]:
        assert not published[key] or text(published, key, words)
    for record in report["record"]:
        read_record(record)
    subject = re.fullmatch(r"Report Domain: (\S+) Submitter: (\S+) Report-ID: <(\S+)>", message["Subject"])
    assert subject and subject.group(1) == domain and subject.group(3) == report_id, message["Subject"]
    pattern = rf"{re.escape(subject.group(2))}!{re.escape(domain)}!{begin}!{end}![A-Za-z0-9]+\.xml\.gz"
    assert re.fullmatch(pattern, name), name
    print("valid", domain, len(report["record"]))


main()
