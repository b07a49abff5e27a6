//! Values that stand under a key of a table.
//!
//! Invariants: there are at most [`VALUES_MAX`] of them, of [`VALUES_OCTETS_MAX`] together; one too many is a failure, never
//! left out.

use std::sync::Arc;

/// Most values of one entry (ours: as many addresses as one address may stand for).
pub const VALUES_MAX: usize = crate::mailboxes::RESOLVED_MAX;

/// Most octets of one entry's values together (ours).
pub const VALUES_OCTETS_MAX: usize = 1024 * 1024;

/// What stands under a key. An entry without values says only that the key is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    values: Vec<Value>,
    octets: usize,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The column or the attribute that it stands in; empty where a source has no names.
    pub name: Arc<str>,
    /// What it says.
    pub text: String,
}

impl Values {
    /// One value without a name.
    #[must_use]
    pub fn one(text: &str) -> Self {
        let octets = text.len();
        Self { values: vec![Value { name: Arc::from(""), text: text.to_owned() }], octets }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// When it is one too many.
    pub(crate) fn push(&mut self, name: &Arc<str>, text: String) -> Result<(), String> {
        self.octets = self.octets.saturating_add(text.len());
        if self.values.len() >= VALUES_MAX || self.octets > VALUES_OCTETS_MAX {
            return Err(format!(
                "more than {VALUES_MAX} values or {VALUES_OCTETS_MAX} octets stand under the key"
            ));
        }
        self.values.push(Value { name: Arc::clone(name), text });
        Ok(())
    }

    /// All of them, in the order of the source.
    #[must_use]
    pub fn all(&self) -> &[Value] {
        &self.values
    }

    /// Their texts, in the order of the source.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| value.text.as_str())
    }
}
