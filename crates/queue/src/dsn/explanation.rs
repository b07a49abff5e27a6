//! What an enhanced status code means for the person who wrote the message, and what they can do (RFC 3463).

/// A code in plain words, each a sentence or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) meaning: &'static str,
    /// What to do once the message has failed.
    pub(super) advice: &'static str,
}

const CHECK_ADDRESS: &str = "Check the address for typing errors, or ask the recipient for the current one.";
const OTHER_WAY: &str = "Try again later, or reach the recipient another way.";
const ASK_POSTMASTER: &str = "Ask your own postmaster for help, and show them this report.";

/// Codes that have words of their own: subject and detail, meaning, advice.
const CODES: [(&str, &str, &str); 26] = [
    ("1.1", "There is no such mailbox.", CHECK_ADDRESS),
    ("1.2", "The domain behind the @ does not exist or takes no mail.", CHECK_ADDRESS),
    ("1.3", "The address is not well formed.", CHECK_ADDRESS),
    (
        "1.6",
        "The recipient has moved, and mail is not sent on.",
        "Write to the new address, if the answer names one, or ask the recipient for it.",
    ),
    ("1.7", "Your address, as the message gives it, is not well formed.", ASK_POSTMASTER),
    ("1.8", "The domain of your address is not known.", ASK_POSTMASTER),
    ("1.10", "The domain has declared that it takes no mail.", CHECK_ADDRESS),
    ("2.1", "The mailbox takes no mail.", "Reach the recipient another way."),
    ("2.2", "The mailbox is full.", "Tell the recipient another way, and try again later."),
    ("2.3", "The message is larger than the mailbox takes.", "Send less, or share large files another way."),
    ("3.1", "The recipient's mail system is out of space.", OTHER_WAY),
    (
        "3.4",
        "The message is larger than the mail system takes.",
        "Send less, or share large files another way.",
    ),
    ("4.1", "The recipient's mail server did not answer.", OTHER_WAY),
    ("4.2", "The connection to the recipient's mail server broke.", OTHER_WAY),
    ("4.3", "The directory that says where mail goes did not answer.", OTHER_WAY),
    ("4.4", "It could not be found out which server takes mail for this address.", CHECK_ADDRESS),
    ("4.6", "The message went round in circles between servers.", ASK_POSTMASTER),
    ("4.7", "The message could not be delivered before its time was over.", OTHER_WAY),
    ("5.3", "The message has too many recipients.", "Send it to fewer recipients at a time."),
    ("6.1", "The recipient's mail system does not take this kind of content.", "Send it in another form."),
    ("6.7", "The address has characters that the recipient's mail system does not take.", CHECK_ADDRESS),
    ("7.1", "The recipient's mail system refused the message by its own rules.", ASK_POSTMASTER),
    ("7.2", "You may not write to this mailing list.", "Ask the owner of the list to be let in."),
    ("7.8", "The mail system on the way did not accept our credentials.", ASK_POSTMASTER),
    ("7.23", "The message failed the check that its sender's domain asks for (SPF).", ASK_POSTMASTER),
    ("7.26", "The message could not prove where it comes from (SPF, DKIM).", ASK_POSTMASTER),
];

/// What the subject of a code says when its detail has no words of its own.
const SUBJECTS: [(&str, &str, &str); 7] = [
    ("1", "Something is wrong with the address.", CHECK_ADDRESS),
    ("2", "Something is wrong with the mailbox.", OTHER_WAY),
    ("3", "Something is wrong with the recipient's mail system.", OTHER_WAY),
    ("4", "Something is wrong on the way to the recipient's mail system.", OTHER_WAY),
    ("5", "The two mail systems did not understand each other.", ASK_POSTMASTER),
    ("6", "The content of the message was not accepted.", "Send it in another form."),
    ("7", "The message was refused for reasons of security or policy.", ASK_POSTMASTER),
];

/// The explanation of a code with its class, such as `5.1.1`.
pub(super) fn of(status: &str) -> Explanation {
    let (_, code) = status.split_once('.').unwrap_or_default();
    let (subject, _) = code.split_once('.').unwrap_or_default();
    let find = |table: &[(&str, &'static str, &'static str)], key: &str| {
        let found = table.iter().find(|(code, ..)| *code == key);
        found.map(|&(_, meaning, advice)| Explanation { meaning, advice })
    };
    find(&CODES, code)
        .or_else(|| find(&SUBJECTS, subject))
        .unwrap_or(Explanation { meaning: "The mail system gave no closer reason.", advice: ASK_POSTMASTER })
}
