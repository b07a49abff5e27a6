//! Routes that stand in tables: where the mail for a domain goes.

use super::{TableFailure, Tables, key};

/// Most domains above one that are looked up (ours: a name has 127 labels at most, and nobody routes by so many).
const PARENTS_MAX: usize = 8;

/// The route for `domain` in the first of the tables `names` that has one: under the domain itself, or under `.parent` of
/// a domain above it. It is the first value of the entry, in the words of a route's `to`.
///
/// # Errors
/// When a table that comes before an answer can't be asked: another route may stand in it.
pub async fn route_for(
    tables: &Tables,
    names: &[std::sync::Arc<str>],
    domain: &str,
) -> Result<Option<String>, TableFailure> {
    let domain = key::normal(domain);
    for name in names {
        for key in key::candidates(&domain).take(PARENTS_MAX + 1) {
            if let Some(values) = tables.look_up(name, key).await?
                && let Some(route) = values.texts().next()
            {
                return Ok(Some(route.to_owned()));
            }
        }
    }
    Ok(None)
}
