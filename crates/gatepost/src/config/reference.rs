//! The reference of the configuration, written from the table of keys.

use std::fmt::Write as _;

use super::key::{Documented, Section};
use super::keys::SECTIONS;

const INTRODUCTION: &str = "\
# Configuration reference

<!-- Written by `gatepost::config::reference`; a test compares. Change crates/gatepost/src/config/keys.rs instead. -->

Gatepost reads one TOML file, named with `--config`. Every key has a default; unknown keys are refused. `gatepost check`
reports all that is wrong with a file, with the place and what was probably meant. SIGHUP reads the file again; a file
with an error changes nothing.

- **Sizes** are octets (`65536`) or have a unit: `\"64 KiB\"`, `\"50 MB\"`, `\"2 GB\"` (kB, MB, GB are powers of 1000;
  KiB, MiB, GiB of 1024).
- **Times** have a unit: `\"10s\"`, `\"5m\"`, `\"1h\"`, `\"5d\"`.
- **Networks** are addresses or CIDR: `\"127.0.0.1\"`, `\"192.0.2.0/24\"`, `\"2001:db8::/32\"`.
- **Addresses** are full (`\"alice@example.org\"`) or, inside a domain, only the part before the `@`. Upper and lower case
  mean the same, in domains and before the `@`.

The smallest file that receives mail from the world:

```toml
hostname = \"mx.example.org\"
listen.mx = [\"0.0.0.0:25\", \"[::]:25\"]
postmaster = \"alice\"

[domain.\"example.org\".mailbox]
alice = {}
info = { alias = \"alice\" }
```
";

const TABLES: &str = "
## Tables

A file of `tables` has the addresses of one domain, one a line, close to aliases(5):

```text
# A name alone is a mailbox.
alice
bob
# A name, a colon and addresses: an alias.
info:         alice, bob@example.net
\"two words\":  alice
# A name, a colon and braces: the keys of [domain.\"example.org\".mailbox].
carol:        { forward = \"carol@example.net\", disclose = true }
team:         { members = [\"alice\", \"bob\"] }
```

A line that starts with white space continues the one before. A `#` where a name or an address may start begins a
comment. Programs (`|…`), files (`/…`) and `:include:` can't stand here. When a table changes it is read again; one with
an error changes nothing, and the log says what is wrong with it.
";

/// The reference, in Markdown: `docs/reference/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in SECTIONS {
        // Writing to a string cannot fail.
        let _ = write_section(&mut text, section);
    }
    text.push_str(TABLES);
    text
}

fn write_section(text: &mut String, section: &Section) -> std::fmt::Result {
    match section.header {
        "" => writeln!(text, "\n## Top of the file\n")?,
        header => writeln!(text, "\n## `{header}`\n")?,
    }
    write_wrapped(text, section.sentence)?;
    for key in section.keys {
        write_key(text, *key)?;
    }
    Ok(())
}

fn write_key(text: &mut String, key: &dyn Documented) -> std::fmt::Result {
    writeln!(text, "\n### `{}`\n", key.name())?;
    write_wrapped(text, key.sentence())?;
    writeln!(text, "\n- Value: {}", key.form())?;
    match key.default_text() {
        "" => writeln!(text, "- Default: none")?,
        default => writeln!(text, "- Default: `{default}`")?,
    }
    writeln!(text, "- Example: `{} = {}`", key.name(), key.example())
}

/// Longest line of running text, in characters.
const LINE_CHARACTERS_MAX: usize = 120;

fn write_wrapped(text: &mut String, sentence: &str) -> std::fmt::Result {
    let mut column = 0;
    for word in sentence.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > LINE_CHARACTERS_MAX {
            writeln!(text)?;
            column = 0;
        }
        let space = if column > 0 { " " } else { "" };
        write!(text, "{space}{word}")?;
        column += space.len() + width;
    }
    writeln!(text)
}
