//! Files beside the tables that a configuration names: passwords, authorities, the system's accounts.
//!
//! Invariants: one that can't be used stops a configuration that is loaded, and never tables that are read again: what it
//! said last holds on then; nothing of them is shown.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::domain::TableFiles;
use super::problem::Problem;

/// Their texts as they were when they could be used last.
#[derive(Default)]
pub(crate) struct Beside(HashMap<PathBuf, String>);

impl fmt::Debug for Beside {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl TableFiles<'_> {
    /// What a file says that is no table, as `read` gets it from its text; otherwise what it said before, with a warning.
    pub(super) fn beside<T>(
        &mut self,
        path: &Path,
        problems: &mut Vec<Problem>,
        read: impl Fn(io::Result<&str>) -> Result<T, Box<Problem>>,
    ) -> Option<T> {
        let now = match (self.read)(path) {
            Ok(text) => read(Ok(&text)).map(|found| (found, text)),
            Err(error) => read(Err(error)).map(|found| (found, String::new())),
        };
        let (found, text) = match now {
            Ok(now) => now,
            Err(problem) => {
                let before = self.before.0.get(path);
                let before = before.and_then(|text| Some((read(Ok(text)).ok()?, text.clone())));
                problems.push(match &before {
                    Some(_) => problem.into_warning().help("what it said before holds on".to_owned()),
                    None => *problem,
                });
                before?
            }
        };
        self.beside.0.insert(path.to_owned(), text);
        Some(found)
    }
}
