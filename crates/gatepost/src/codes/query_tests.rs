//! Log lines and replies as people paste them, and what is read out of them.

use super::*;

/// Input, basic code, enhanced code, stage, start of the text.
type Case = (&'static str, Option<u16>, &'static str, Option<Stage>, &'static str);

const CASES: &[Case] = &[
    ("451", Some(451), "", None, ""),
    (" 5.7.1 ", None, "5.7.1", None, ""),
    ("x.7.1", None, "X.7.1", None, ""),
    ("7.26", None, "X.7.26", None, ""),
    ("550 5.7.26", Some(550), "5.7.26", None, ""),
    ("550-5.7.26", Some(550), "5.7.26", None, ""),
    ("550 4.7.1", Some(550), "4.7.1", None, ""),
    ("571", Some(571), "", None, ""),
    ("Diagnostic-Code: smtp;550 5.1.1 unknown", Some(550), "5.1.1", None, "unknown"),
    ("[550 5.1.1 <b@c.example>]", Some(550), "5.1.1", None, "<b@c.example>"),
    (
        "{'b@c.example': (550, b'5.1.1 <b@c.example>: no such mailbox')}",
        Some(550),
        "5.1.1",
        None,
        "<b@c.example>: no such mailbox",
    ),
    (
        "delivery 7: failure: 192.0.2.1_does_not_like_recipient./Remote_host_said:_550_5.1.1_no_such_user/Giving_up_on_192.0.2.1./",
        Some(550),
        "5.1.1",
        None,
        "no such user",
    ),
    ("550 No such user here", Some(550), "", None, "No such user here"),
    (
        "550 5.7.26 This message does not pass authentication checks",
        Some(550),
        "5.7.26",
        None,
        "This message does not pass authentication checks",
    ),
    (
        "550-5.7.26 Your email has been blocked because the sender is unauthenticated.\r\n550-5.7.26 Gmail requires all senders to authenticate\r\n550 5.7.26 with either SPF or DKIM. a1b2c3 - gsmtp",
        Some(550),
        "5.7.26",
        None,
        "Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either",
    ),
    (
        "Nov 23 12:40:08 mx postfix/smtp[451]: 4bXyz1: to=<bob@gmail.com>, relay=gmail-smtp-in.l.google.com[142.250.102.26]:25, delay=1.2, delays=0.1/0/0.5/0.6, dsn=5.7.26, status=bounced (host gmail-smtp-in.l.google.com[142.250.102.26] said: 550-5.7.26 This mail has been blocked because the sender is unauthenticated. 550-5.7.26 Gmail requires 550 5.7.26 SPF or DKIM. (in reply to end of DATA command))",
        Some(550),
        "5.7.26",
        Some(Stage::Message),
        "This mail has been blocked because the sender is unauthenticated. Gmail requires SPF or DKIM.",
    ),
    (
        "postfix/smtp[550]: 9A: to=<a@b.example>, relay=mx.b.example[192.0.2.5]:25, delay=3, dsn=4.7.1, status=deferred (host mx.b.example[192.0.2.5] said: 451 4.7.1 Greylisting in action, please come back later (in reply to RCPT TO command))",
        Some(451),
        "4.7.1",
        Some(Stage::Recipient),
        "Greylisting in action, please come back later",
    ),
    (
        "postfix/smtpd[11]: NOQUEUE: reject: RCPT from unknown[203.0.113.9]: 554 5.7.1 <x@elsewhere.example>: Relay access denied; from=<a@b.example> to=<x@elsewhere.example> proto=ESMTP helo=<mail>",
        Some(554),
        "5.7.1",
        Some(Stage::Recipient),
        "<x@elsewhere.example>: Relay access denied",
    ),
    (
        "postfix/smtpd[300]: NOQUEUE: reject: CONNECT from host.example[203.0.113.9]: 554 5.7.1 Service unavailable; Client host [203.0.113.9] blocked using zen.spamhaus.org; proto=SMTP",
        Some(554),
        "5.7.1",
        Some(Stage::Connect),
        "Service unavailable; Client host [203.0.113.9] blocked using zen.spamhaus.org",
    ),
    (
        "postfix/smtp[9]: 77: to=<a@t-online.de>, relay=none, delay=9, dsn=4.0.0, status=deferred (host mx00.t-online.de[194.25.134.8] refused to talk to me: 554 IP=203.0.113.9 - A problem occurred.)",
        Some(554),
        "4.0.0",
        Some(Stage::Connect),
        "IP=203.0.113.9 - A problem occurred.",
    ),
    (
        "postfix/smtp[9]: 77: to=<a@b.example>, relay=none, delay=30, dsn=4.4.1, status=deferred (connect to mx.b.example[192.0.2.5]:25: Connection timed out)",
        None,
        "4.4.1",
        None,
        "",
    ),
    (
        "2026-11-23 12:00:01 1xAbCd-000001-2x ** bob@example.net R=dnslookup T=remote_smtp H=mx.example.net [192.0.2.7]: SMTP error from remote mail server after RCPT TO:<bob@example.net>: 550 5.1.1 <bob@example.net>: Recipient address rejected: User unknown",
        Some(550),
        "5.1.1",
        Some(Stage::Recipient),
        "<bob@example.net>: Recipient address rejected: User unknown",
    ),
    (
        "1xAbCd-000001-2x == bob@example.net R=dnslookup T=remote_smtp defer (-46) H=mx.example.net [192.0.2.7]: SMTP error from remote mail server after end of data: 421-4.7.0 Try again later\\n421 4.7.0 closing connection",
        Some(421),
        "4.7.0",
        Some(Stage::Message),
        "Try again later closing connection",
    ),
    (
        "<bob@example.net>: host mx.example.net[192.0.2.7]:587 said: 535 Incorrect authentication data (in reply to AUTH command)",
        Some(535),
        "",
        Some(Stage::Auth),
        "Incorrect authentication data",
    ),
    (
        "sm-mta[12]: xx: to=<a@b.example>, delay=00:00:02, mailer=esmtp, relay=mx.b.example. [192.0.2.5], dsn=5.1.1, reply=550 5.1.1 <a@b.example>... User unknown, stat=User unknown",
        Some(550),
        "5.1.1",
        None,
        "<a@b.example>... User unknown, stat=User unknown",
    ),
    (
        "Remote host said: 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        Some(553),
        "5.7.1",
        None,
        "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
    ),
    (
        "<mx.example.com #5.1.1 smtp; 550 5.1.1 unknown or illegal alias: bob@example.com>",
        Some(550),
        "5.1.1",
        None,
        "unknown or illegal alias: bob@example.com>",
    ),
    (
        "Remote Server returned '550 5.4.1 Recipient address rejected: Access denied. AS(201806281)'",
        Some(550),
        "5.4.1",
        None,
        "Recipient address rejected: Access denied. AS(201806281)",
    ),
    (
        "550; 5.7.515 Access denied, sending domain",
        Some(550),
        "5.7.515",
        None,
        "Access denied, sending domain",
    ),
    (
        "Diagnostic-Code: smtp; 552-5.2.2 The email account is over quota",
        Some(552),
        "5.2.2",
        None,
        "The email",
    ),
    ("Status: 5.2.2", None, "5.2.2", None, ""),
    ("Final-Recipient: rfc822; a@b\nStatus: 4.4.7\nRemote-MTA: dns; 10.5.1.1", None, "4.4.7", None, ""),
    ("smtplib.SMTPRecipientsRefused: {'a@b': (550, b'5.1.1 no such user')}", Some(550), "5.1.1", None, ""),
    ("exim 4.97.1: 451 Temporary local problem", Some(451), "", None, "Temporary local problem"),
];

#[test]
fn pasted_lines_are_understood() {
    for (input, code, enhanced, stage, text) in CASES {
        let query = Query::parse(input).unwrap_or_else(|| panic!("nothing found in {input}"));
        assert_eq!(query.code, *code, "{input}");
        let found = query.enhanced.map(|enhanced| enhanced.to_string()).unwrap_or_default();
        assert_eq!(found, *enhanced, "{input}");
        assert_eq!(query.stage, *stage, "{input}");
        assert!(query.text.clone().unwrap_or_default().starts_with(text), "{input}: {:?}", query.text);
    }
    assert!(CASES.len() >= 25);
}

#[test]
fn what_holds_no_code_is_nothing() {
    for input in [
        "",
        "hello",
        "999",
        "199",
        "12",
        "1.2.3.4",
        "192.0.2.451",
        "connect to mx.example.org[192.0.2.5]:587: Connection refused",
        "lost connection after 300 seconds",
        "port 465",
        "\u{1f4e7} ü",
        "55\u{0660}",
    ] {
        assert_eq!(Query::parse(input), None, "{input}");
    }
}

#[test]
fn an_address_or_a_version_is_no_enhanced_code() {
    assert_eq!(Query::parse("550 from 10.5.7.1 refused").unwrap().enhanced, None);
    assert_eq!(Query::parse("550 mail-4.5.6.example.org refused").unwrap().enhanced, None);
}
