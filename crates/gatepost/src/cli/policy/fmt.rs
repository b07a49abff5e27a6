//! `gatepost policy fmt`: a policy's text, well laid out.
//!
//! A file is replaced as a whole or not at all, and only when its text is sound and would change.

use std::fs;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use policy::span::SourceFile;
use policy::syntax::{self, limits};

/// Most lines of each side that `--check` shows of one place; behind as many lines, places are only counted.
const LINES_SHOWN: usize = 12;
/// How far `--check` looks for where a text goes on as it was, in lines of both sides together.
const LINES_COMPARED: usize = 60;

/// What `gatepost policy fmt` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write nothing; show what would change, and exit with 1 when something would.
    #[arg(long)]
    check: bool,
    /// The files, written in place; `-` is standard input to standard output.
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,
}

/// Lays the files out; exit code 1 when one of them is broken, or with `--check` would change.
///
/// # Errors
/// When a file can't be read or written, or standard output is gone. Files before it are done, it is as it was.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut shell = Shell {
        input: &mut io::stdin(),
        output: &mut io::stdout(),
        errors: &mut io::stderr(),
        coloured: io::stderr().is_terminal(),
    };
    let mut sound = true;
    for file in &args.files {
        sound &= shell.lay_out(file, args.check)?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The streams of a run.
struct Shell<'a> {
    input: &'a mut dyn Read,
    output: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    coloured: bool,
}

impl Shell<'_> {
    /// Lays one file out; `false` when it is broken, or with `check` would change.
    fn lay_out(&mut self, file: &Path, check: bool) -> anyhow::Result<bool> {
        let streams = file == Path::new("-");
        let name = if streams { String::from("<stdin>") } else { file.display().to_string() };
        let text = if streams {
            read(&mut *self.input)
        } else {
            fs::File::open(file).map_err(anyhow::Error::from).and_then(|mut file| read(&mut file))
        };
        let text = text.with_context(|| format!("can't read {name}"))?;
        let laid_out = match syntax::format(&text) {
            Ok(laid_out) => laid_out,
            Err(findings) => {
                let files = [SourceFile { name: Arc::from(name), text: Arc::from(text) }];
                for finding in findings {
                    writeln!(self.errors, "{}\n", finding.render(&files, self.coloured))?;
                }
                return Ok(false);
            }
        };
        if check {
            let notice = difference(&name, &text, &laid_out);
            self.output.write_all(notice.as_bytes())?;
            return Ok(notice.is_empty());
        }
        if streams {
            self.output.write_all(laid_out.as_bytes())?;
        } else if laid_out != text {
            replace(file, &laid_out).with_context(|| format!("can't write {name}"))?;
            writeln!(self.output, "{name}: written")?;
        }
        Ok(true)
    }
}

/// Reads a text; of one that is too long only so much that the parser sees that it is.
fn read(source: &mut dyn Read) -> anyhow::Result<String> {
    let mut octets = Vec::new();
    let most = u64::try_from(limits::FILE_OCTETS).unwrap_or(u64::MAX).saturating_add(1);
    source.take(most).read_to_end(&mut octets)?;
    match String::from_utf8(octets) {
        Ok(text) => Ok(text),
        // The cut may have gone through a character.
        Err(fault) if fault.as_bytes().len() > limits::FILE_OCTETS => {
            Ok(String::from_utf8_lossy(fault.as_bytes()).into_owned())
        }
        Err(fault) => {
            let before = fault.as_bytes().get(..fault.utf8_error().valid_up_to()).unwrap_or_default();
            bail!("line {} is not UTF-8", before.iter().filter(|octet| **octet == b'\n').count() + 1)
        }
    }
}

/// Puts `text` in the place of a file, which keeps its permissions; a symbolic link stays one.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let file = fs::canonicalize(file)?;
    let folder = file.parent().context("it stands in no folder")?;
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().context("it has no name")?);
    name.push(format!(".{}.new", std::process::id()));
    let new = folder.join(name);
    let written = fs::File::create_new(&new)
        .and_then(|mut stream| {
            stream.write_all(text.as_bytes())?;
            stream.set_permissions(fs::metadata(&file)?.permissions())?;
            stream.sync_all()
        })
        .and_then(|()| fs::rename(&new, &file));
    if written.is_err() {
        // What went wrong is told; that the new file could not be removed, too, would add nothing.
        let _ = fs::remove_file(&new);
    }
    Ok(written?)
}

/// What `--check` says of a text: the lines that would change, stretch by stretch, or nothing.
fn difference(name: &str, text: &str, laid_out: &str) -> String {
    let old: Vec<&str> = text.split('\n').collect();
    let new: Vec<&str> = laid_out.split('\n').collect();
    let (mut at_old, mut at_new) = (0, 0);
    let mut notice = String::new();
    let mut hidden = 0_usize;
    while at_old < old.len() || at_new < new.len() {
        let (rest_old, rest_new) =
            (old.get(at_old..).unwrap_or_default(), new.get(at_new..).unwrap_or_default());
        if let (Some(one), Some(other)) = (rest_old.first(), rest_new.first())
            && one == other
        {
            at_old += 1;
            at_new += 1;
            continue;
        }
        let (gone, come) = meet(rest_old, rest_new);
        if notice.lines().count() > LINES_SHOWN {
            hidden += 1;
        } else {
            notice.push_str(&format!("{name}:{}: not laid out as `gatepost policy fmt` would\n", at_old + 1));
            show(&mut notice, '-', rest_old.get(..gone).unwrap_or_default());
            show(&mut notice, '+', rest_new.get(..come).unwrap_or_default());
        }
        at_old += gone;
        at_new += come;
    }
    if hidden > 0 {
        notice.push_str(&format!("{name}: ... and {hidden} places more\n"));
    }
    notice
}

/// How many lines of each side are passed over until both go on alike, with a line that is not empty.
fn meet(old: &[&str], new: &[&str]) -> (usize, usize) {
    for distance in 1..=LINES_COMPARED {
        for gone in 0..=distance {
            let come = distance - gone;
            let alike = old.get(gone).is_some_and(|line| !line.is_empty() && Some(line) == new.get(come));
            if alike || (gone == old.len() && come == new.len()) {
                return (gone, come);
            }
        }
    }
    (old.len(), new.len())
}

fn show(notice: &mut String, sign: char, lines: &[&str]) {
    for line in lines.iter().take(LINES_SHOWN) {
        // What can't be seen is what changes: the end of a line of other systems, for one.
        let line = line.replace('\r', "\\r").replace('\t', "\\t");
        notice.push_str(&format!("{sign}{line}\n"));
    }
    if lines.len() > LINES_SHOWN {
        notice.push_str(&format!("{sign}... and {} lines more\n", lines.len() - LINES_SHOWN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIDY: &str = "at mail{rule a accept}\n";
    const TIDY: &str = "at mail {\n    rule a\n        accept\n}\n";

    /// What comes of one file: whether it is sound, standard output and standard error.
    fn lay_out(file: &Path, input: &str, check: bool) -> anyhow::Result<(bool, String, String)> {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut input = input.as_bytes();
        let mut shell =
            Shell { input: &mut input, output: &mut output, errors: &mut errors, coloured: false };
        let sound = shell.lay_out(file, check)?;
        Ok((sound, String::from_utf8(output)?, String::from_utf8(errors)?))
    }

    #[test]
    fn a_file_is_written_in_place_and_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.policy");
        fs::write(&file, UNTIDY).unwrap();
        let mut permissions = fs::metadata(&file).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&file, permissions.clone()).unwrap();
        let said = lay_out(&file, "", false).unwrap();
        assert_eq!(said, (true, format!("{}: written\n", file.display()), String::new()));
        assert_eq!(fs::read_to_string(&file).unwrap(), TIDY);
        assert_eq!(fs::metadata(&file).unwrap().permissions(), permissions);
        assert_eq!(lay_out(&file, "", false).unwrap(), (true, String::new(), String::new()), "nothing to do");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("site.policy"), folder.path().join("link.policy"));
        fs::write(&file, UNTIDY).unwrap();
        std::os::unix::fs::symlink("site.policy", &link).unwrap();
        assert!(lay_out(&link, "", false).unwrap().0);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), TIDY);
    }

    #[test]
    fn a_check_shows_what_would_change_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.policy");
        fs::write(&file, UNTIDY).unwrap();
        let (sound, output, errors) = lay_out(&file, "", true).unwrap();
        assert!(!sound && errors.is_empty());
        let expected = "-at mail{rule a accept}\n+at mail {\n+    rule a\n+        accept\n+}\n";
        let name = file.display();
        assert_eq!(output, format!("{name}:1: not laid out as `gatepost policy fmt` would\n{expected}"));
        assert_eq!(fs::read_to_string(&file).unwrap(), UNTIDY);
    }

    #[test]
    fn standard_input_goes_to_standard_output() {
        let stdin = Path::new("-");
        assert_eq!(lay_out(stdin, UNTIDY, false).unwrap(), (true, TIDY.to_owned(), String::new()));
        assert_eq!(lay_out(stdin, TIDY, true).unwrap(), (true, String::new(), String::new()));
    }

    #[test]
    fn a_broken_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.policy");
        fs::write(&file, "at rcpt {rule a accept}\n").unwrap();
        let (sound, output, errors) = lay_out(&file, "", false).unwrap();
        assert!(!sound && output.is_empty());
        assert!(
            errors.contains("there is no stage `rcpt`") && errors.contains("site.policy:1:4"),
            "{errors}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "at rcpt {rule a accept}\n");
        fs::write(&file, b"# one\n# caf\xe9\n").unwrap();
        let fault = lay_out(&file, "", false).unwrap_err();
        assert!(format!("{fault:#}").ends_with("site.policy: line 2 is not UTF-8"), "{fault:#}");
        let long = "#".repeat(limits::FILE_OCTETS) + "é";
        assert!(lay_out(Path::new("-"), &long, false).unwrap().2.contains("the file is too long"));
    }

    #[test]
    fn a_long_difference_is_cut() {
        let old: String = (0..30).map(|line| format!("{line}\n")).collect();
        let notice = difference("x", &format!("same\n{old}end\n"), "same\nend\n");
        assert!(notice.starts_with("x:2: ") && notice.ends_with("-... and 18 lines more\n"), "{notice}");
        assert_eq!(difference("x", "a\r\n", "a\n").lines().nth(1), Some("-a\\r"));
        assert_eq!(difference("x", "a", "a\n").lines().collect::<Vec<_>>().len(), 2);
        let (wide, narrow) = ("  a\nb\nb\n".repeat(30), "a\nb\nb\n".repeat(30));
        let notice = difference("x", &wide, &narrow);
        assert!(notice.ends_with("x: ... and 25 places more\n"), "{notice}");
    }

    #[test]
    fn each_place_that_changes_is_shown() {
        let notice = difference("x", "a\n b\nc\nd\n e\n", "a\nb\nc\nd\n\ne\n");
        let title = "not laid out as `gatepost policy fmt` would";
        assert_eq!(notice, format!("x:2: {title}\n- b\n+b\nx:5: {title}\n- e\n+\n+e\n"));
    }
}
