//! The macros that a milter hears before each step, by the names that Sendmail gave them.

use super::options::MacroStage;
use crate::PRODUCT;
use crate::filters::occasion::{Occasion, bare};

/// The macros of a step, as far as they are known.
pub(super) fn of(stage: MacroStage, occasion: &Occasion, client_name: &str) -> Vec<(&'static str, String)> {
    match stage {
        MacroStage::Connect => of_client(occasion, client_name),
        MacroStage::Helo => of_tls(occasion).collect(),
        MacroStage::Mail => {
            let mut macros = Vec::new();
            if let Some((user, mechanism)) = &occasion.user {
                macros.push(("{auth_type}", mechanism.clone()));
                macros.push(("{auth_authen}", user.clone()));
            }
            macros.extend(of_tls(occasion));
            let sender = occasion.sender();
            macros.push(("{mail_addr}", sender.to_owned()));
            if let Some((_, domain)) = sender.rsplit_once('@') {
                macros.push(("{mail_host}", domain.to_owned()));
            }
            macros
        }
        MacroStage::Recipient | MacroStage::Data => Vec::new(),
        MacroStage::EndOfMessage | MacroStage::EndOfFields => {
            let id = occasion.queue_id.as_ref().map(|id| ("i", id.clone()));
            id.into_iter().collect()
        }
    }
}

/// The macros of a recipient.
pub(super) fn of_recipient(words: &[String]) -> Vec<(&'static str, String)> {
    let path = words.first().map_or("", |path| bare(path));
    let mut macros = vec![("{rcpt_addr}", path.to_owned())];
    if let Some((_, domain)) = path.rsplit_once('@') {
        macros.push(("{rcpt_host}", domain.to_owned()));
    }
    macros
}

fn of_tls(occasion: &Occasion) -> impl Iterator<Item = (&'static str, String)> {
    let known = ["{tls_version}", "{cipher}"].into_iter().zip(&occasion.tls);
    known.filter_map(|(name, value)| Some((name, value.clone()?)))
}

fn of_client(occasion: &Occasion, client_name: &str) -> Vec<(&'static str, String)> {
    let resolves = !client_name.starts_with('[');
    vec![
        ("j", occasion.hostname.clone()),
        ("v", PRODUCT.to_owned()),
        ("_", format!("{client_name} [{}]", occasion.client)),
        ("{daemon_name}", String::from("gatepost")),
        ("{client_addr}", occasion.client.to_string()),
        ("{client_name}", if resolves { client_name.to_owned() } else { String::from("unknown") }),
        ("{client_port}", occasion.port.to_string()),
        ("{client_resolve}", String::from(if resolves { "OK" } else { "FAIL" })),
    ]
}
