//! Aliases that stand for several addresses: the sender who asks for success hears once that the message was passed on
//! (RFC 3461 §5.2.7, RFC 3464 §2.3.3 "expanded"), and not of each address behind the alias.

use std::collections::HashMap;

use smtp::address::ForwardPath;
use smtp::envelope::{MailParameters, Notify, RcptParameters};

use crate::message::{QueuedMessage, QueuedRecipient};

/// The addresses of a message that stood for several recipients and whose success is to be reported.
#[derive(Debug, Clone, Default)]
pub struct Expansions<'a>(HashMap<&'a ForwardPath, u32>);

impl<'a> Expansions<'a> {
    /// Those of `message`.
    #[must_use]
    pub fn of(message: &'a QueuedMessage) -> Self {
        let mut firsts: HashMap<&ForwardPath, (u32, bool)> = HashMap::new();
        for (index, recipient) in (0u32..).zip(&message.recipients) {
            if recipient.parameters.notify.is_some_and(|notify| notify.success) {
                let first = firsts.entry(&recipient.accepted_as).or_insert((index, false));
                first.1 |= first.0 != index;
            }
        }
        let several = firsts.into_iter().filter(|(_, (_, is_several))| *is_several);
        Self(several.map(|(path, (first, _))| (path, first)).collect())
    }

    /// Whether the address that led to the recipient led to others, too: its own success is not reported.
    #[must_use]
    pub fn contains(&self, recipient: &QueuedRecipient) -> bool {
        self.0.contains_key(&recipient.accepted_as)
    }

    /// Whether the recipient is the one at whose first attempt the expansion is reported.
    #[must_use]
    pub fn is_first(&self, index: u32, recipient: &QueuedRecipient) -> bool {
        self.0.get(&recipient.accepted_as) == Some(&index)
    }

    /// The parameters that go on with the recipient: without SUCCESS when the expansion was reported instead.
    #[must_use]
    pub fn parameters(&self, recipient: &QueuedRecipient) -> RcptParameters {
        let mut parameters = recipient.parameters.clone();
        if self.contains(recipient) {
            parameters.notify = parameters.notify.map(|notify| Notify { success: false, ..notify });
        }
        parameters
    }
}

/// The parameters of MAIL of mail for a list: what its sender asked of DSNs is not for its owner, who gets them (RFC 3461
/// §5.2.7). Those of RCPT are the default ones then.
#[must_use]
pub fn of_list(parameters: &MailParameters) -> MailParameters {
    MailParameters { envid: None, ret: None, ..parameters.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Destination, Origin};
    use smtp::address::ReversePath;
    use smtp::time::WallTime;

    fn recipient(mailbox: &str, accepted_as: &str, success: bool) -> QueuedRecipient {
        let notify = Some(Notify { success, failure: true, delay: false });
        QueuedRecipient {
            mailbox: mailbox.parse().unwrap(),
            accepted_as: format!("<{accepted_as}>").parse().unwrap(),
            parameters: RcptParameters { notify, original: None },
            destination: Destination::new("local"),
        }
    }

    #[test]
    fn only_what_became_several_and_asks_for_success_is_expanded() {
        let message = QueuedMessage {
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            received: WallTime::default(),
            origin: Origin::default(),
            hold: None,
            recipients: vec![
                recipient("x@example.org", "x@example.org", true),
                recipient("a@example.org", "team@example.org", true),
                recipient("b@example.net", "team@example.org", true),
                recipient("c@example.org", "quiet@example.org", false),
                recipient("d@example.org", "quiet@example.org", false),
            ],
        };
        let expansions = Expansions::of(&message);
        let all = || (0u32..).zip(&message.recipients);
        let contained: Vec<bool> = all().map(|(_, recipient)| expansions.contains(recipient)).collect();
        assert_eq!(contained, [false, true, true, false, false]);
        let first: Vec<bool> =
            all().map(|(index, recipient)| expansions.is_first(index, recipient)).collect();
        assert_eq!(first, [false, true, false, false, false]);
        let success =
            |recipient| expansions.parameters(recipient).notify.is_some_and(|notify| notify.success);
        assert_eq!(message.recipients.iter().map(success).filter(|success| *success).count(), 1);
    }
}
