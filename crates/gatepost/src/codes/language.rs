//! The languages of `gatepost codes`, how one is chosen, and the fixed words of its pages.

use serde::Serialize;

/// A language that every explanation exists in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// German.
    De,
}

impl Language {
    /// The language of the locale: the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set and not empty decides
    /// (POSIX.1-2017 §8.2); German when it names German, else English.
    #[must_use]
    pub fn from_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        let name = locale.split(['_', '.', '@', '-']).next().unwrap_or_default();
        if matches!(name, "de" | "german" | "deutsch") { Self::De } else { Self::En }
    }

    /// The fixed words of the pages.
    #[must_use]
    pub(super) const fn words(self) -> &'static Words {
        match self {
            Self::En => &EN,
            Self::De => &DE,
        }
    }
}

/// The fixed words of the pages, in one language.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) standings: [&'static str; 4],
    pub(super) class: &'static str,
    pub(super) meaning: &'static str,
    pub(super) condition: &'static str,
    pub(super) peers: &'static str,
    pub(super) gatepost: &'static str,
    pub(super) server: &'static str,
    pub(super) sender: &'static str,
    pub(super) refuser: &'static str,
    pub(super) stages: &'static str,
    pub(super) also: &'static str,
    pub(super) section: &'static str,
    pub(super) goes_with: &'static str,
    pub(super) registry: &'static str,
    pub(super) custom: &'static str,
    pub(super) reply_text: &'static str,
    pub(super) at_stage: &'static str,
    pub(super) warning: &'static str,
    pub(super) note: &'static str,
    pub(super) never: &'static str,
    pub(super) never_with: &'static str,
    pub(super) sends: &'static str,
    pub(super) list_legend: &'static str,
    pub(super) reject_heading: &'static str,
    pub(super) stage_heading: &'static str,
    pub(super) reject_legend: &'static str,
    pub(super) nothing: &'static str,
}

const EN: Words = Words {
    standings: ["RFC 5321", "extension", "registry only", "in no RFC"],
    class: "Class",
    meaning: "Meaning",
    condition: "Condition",
    peers: "Who sends it",
    gatepost: "Gatepost",
    server: "The sender's server",
    sender: "If you sent",
    refuser: "If you refuse",
    stages: "Stages",
    also: "also seen at",
    section: "Source",
    goes_with: "Goes with",
    registry: "registry",
    custom: "in practice",
    reply_text: "Text",
    at_stage: "at",
    warning: "Warning",
    note: "Note",
    never: "never sends it",
    never_with: "never sends this pair",
    sends: "sends it",
    list_legend: "● Gatepost sends it · ○ other servers only",
    reject_heading: "Usable in a refusal",
    stage_heading: "Every code",
    reject_legend: "● listed by its RFC for this stage · ○ merely common there · * Gatepost's own · ~ \
    pair not in the IANA registry, but usual",
    nothing: "No code fits these filters.",
};

const DE: Words = Words {
    standings: ["RFC 5321", "Erweiterung", "nur Registry", "in keinem RFC"],
    class: "Klasse",
    meaning: "Bedeutung",
    condition: "Bedingung",
    peers: "Wer ihn sendet",
    gatepost: "Gatepost",
    server: "Der sendende Server",
    sender: "Wenn Sie senden",
    refuser: "Wenn Sie abweisen",
    stages: "Stufen",
    also: "auch üblich bei",
    section: "Quelle",
    goes_with: "Passt zu",
    registry: "Registry",
    custom: "in der Praxis",
    reply_text: "Text",
    at_stage: "bei",
    warning: "Warnung",
    note: "Hinweis",
    never: "sendet ihn nie",
    never_with: "sendet dieses Paar nie",
    sends: "sendet ihn",
    list_legend: "● sendet Gatepost · ○ nur andere Server",
    reject_heading: "Zum Abweisen brauchbar",
    stage_heading: "Alle Codes",
    reject_legend: "● vom RFC für diese Stufe genannt · ○ dort nur üblich · * von Gatepost selbst · ~ \
    Paar nicht in der IANA-Registry, aber üblich",
    nothing: "Zu diesen Filtern passt kein Code.",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Language {
        Language::from_locale(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        assert_eq!(chosen(&[("LANG", "de_DE.UTF-8")]), Language::De);
        assert_eq!(chosen(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), Language::En);
        assert_eq!(chosen(&[("LC_ALL", ""), ("LC_MESSAGES", "de_AT@euro"), ("LANG", "en_GB")]), Language::De);
        assert_eq!(chosen(&[("LANG", "del_US")]), Language::En);
        assert_eq!(chosen(&[]), Language::En);
    }
}
