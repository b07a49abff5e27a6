//! The pages as text: wrapped to a width, with emphasis only where a terminal shows it.

use std::fmt::Write as _;

use smtp::catalogue::Stage;

use super::explain::{BasicPage, Companion, EnhancedPage, Explanation, GatepostReply};
use super::language::{Language, Words};
use super::listing::{Listing, Row};
use super::notice::Level;
use super::table::{Pairing, Standing};

/// The narrowest page, in columns.
const COLUMNS_MIN: usize = 40;
/// The widest page, in columns; longer lines are hard to read.
const COLUMNS_MAX: usize = 110;

/// How a page looks.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// The width of a line in columns.
    pub columns: usize,
    /// Whether headings are emphasised with ANSI sequences.
    pub emphasis: bool,
}

/// A page that is being written.
struct Page {
    text: String,
    style: Style,
    words: &'static Words,
    /// The width of the label column.
    label_columns: usize,
}

impl Page {
    fn new(style: Style, language: Language) -> Self {
        let words = language.words();
        let labels = [
            words.class,
            words.meaning,
            words.condition,
            words.peers,
            words.gatepost,
            words.server,
            words.sender,
            words.refuser,
            words.stages,
            words.section,
            words.goes_with,
            words.reply_text,
            words.warning,
            words.note,
        ];
        let label_columns = labels.iter().map(|label| columns(label)).max().unwrap_or_default();
        let columns = style.columns.clamp(COLUMNS_MIN, COLUMNS_MAX);
        Self { text: String::new(), style: Style { columns, ..style }, words, label_columns }
    }

    fn blank(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// A heading: `lead` emphasised, then `rest`, with continuation lines under `rest`.
    fn heading(&mut self, lead: &str, rest: &str) {
        let indent = columns(lead) + usize::from(!rest.is_empty()) * 2;
        let lead = if self.style.emphasis { format!("\x1b[1m{lead}\x1b[0m") } else { lead.to_owned() };
        let gap = if rest.is_empty() { "" } else { "  " };
        self.hanging(&format!("{lead}{gap}"), indent.min(self.style.columns / 2), rest);
    }

    /// A labelled paragraph.
    fn field(&mut self, label: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        // In a narrow window a label column would leave no room for the text.
        if self.style.columns < 2 * self.label_columns {
            self.hanging("  ", 4, &format!("{label}: {value}"));
            return;
        }
        let padding = self.label_columns.saturating_sub(columns(label));
        let prefix = format!("  {label}{}  ", " ".repeat(padding));
        self.hanging(&prefix, self.label_columns + 4, value);
    }

    /// `prefix`, then `value` wrapped, its further lines indented by `indent`.
    fn hanging(&mut self, prefix: &str, indent: usize, value: &str) {
        let room = self.style.columns.saturating_sub(indent).max(1);
        let mut lines = wrap(value, room).into_iter();
        let first = lines.next().unwrap_or_default();
        let line = format!("{prefix}{first}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
        for line in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "{}{line}", " ".repeat(indent));
        }
    }
}

/// The page of an explanation.
#[must_use]
pub fn explanation(explanation: &Explanation, style: Style) -> String {
    let mut page = Page::new(style, explanation.language);
    question(&mut page, explanation);
    if let Some(basic) = &explanation.basic {
        basic_page(&mut page, basic);
    }
    if let Some(enhanced) = &explanation.enhanced {
        enhanced_page(&mut page, enhanced);
    }
    if explanation.known() {
        gatepost(&mut page, explanation);
    }
    page.text
}

/// What was understood of a pasted reply, and the notices.
fn question(page: &mut Page, explanation: &Explanation) {
    let query = &explanation.query;
    let words = page.words;
    let codes = [query.code.map(|code| code.to_string()), query.enhanced.map(|asked| asked.to_string())];
    let codes = codes.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if query.text.is_some() || query.stage.is_some() || query.code.is_some() && query.enhanced.is_some() {
        let stage = query.stage.map(|stage| format!("{} {}", words.at_stage, stage.name()));
        page.heading(&codes, &stage.unwrap_or_default());
        page.field(words.reply_text, query.text.as_deref().unwrap_or_default());
    }
    for notice in &explanation.notices {
        let label = if notice.level == Level::Warning { words.warning } else { words.note };
        page.field(label, &notice.text);
    }
}

fn basic_page(page: &mut Page, basic: &BasicPage) {
    page.blank();
    let words = page.words;
    page.heading(&basic.code.to_string(), &basic.meaning);
    page.field(words.class, &format!("{}yz: {}", basic.code / 100, basic.class));
    page.field(words.condition, &basic.condition);
    page.field(words.peers, &basic.peers);
    page.field(words.server, &basic.server);
    page.field(words.sender, &basic.sender);
    page.field(words.refuser, &basic.refuser);
    let listed = names(&basic.stages.listed);
    let common = names(&basic.stages.common);
    let stages = match (listed.is_empty(), common.is_empty()) {
        (_, true) => listed,
        (true, false) => format!("{} {common}", words.also),
        (false, false) => format!("{listed}; {} {common}", words.also),
    };
    page.field(words.stages, &stages);
    page.field(words.goes_with, &companions(&basic.enhanced, words));
    let source = match basic.standing {
        Standing::Core | Standing::Extension => basic.source.clone(),
        standing => format!("{} ({})", standing_name(standing, words), basic.source),
    };
    page.field(words.section, &source);
}

fn enhanced_page(page: &mut Page, enhanced: &EnhancedPage) {
    page.blank();
    let words = page.words;
    page.heading(&enhanced.code.to_string(), &format!("{} ({})", enhanced.title, enhanced.subject));
    page.field(words.meaning, &enhanced.meaning);
    page.field(words.peers, enhanced.peers.as_deref().or(enhanced.owner.as_deref()).unwrap_or_default());
    page.field(words.sender, &enhanced.sender);
    page.field(words.stages, &names(&enhanced.stages));
    page.field(words.goes_with, &companions(&enhanced.basic, words));
    page.field(words.section, enhanced.source.as_deref().unwrap_or_default());
}

fn gatepost(page: &mut Page, explanation: &Explanation) {
    page.blank();
    let words = page.words;
    let pair = explanation.query.code.is_some() && explanation.query.enhanced.is_some();
    let summary = match (explanation.gatepost.is_empty(), pair) {
        (false, _) => words.sends,
        (true, true) => words.never_with,
        (true, false) => words.never,
    };
    page.heading(words.gatepost, summary);
    for GatepostReply { name, reply, condition, source, stages } in &explanation.gatepost {
        page.hanging("  ", 6, reply);
        page.hanging("      ", 6, &format!("{condition} ({name}; {}; {source})", names(stages)));
    }
}

/// The page of a list.
#[must_use]
pub fn listing(listing: &Listing, style: Style) -> String {
    let mut page = Page::new(style, listing.language);
    let words = page.words;
    if listing.codes.is_empty() {
        page.hanging("", 0, words.nothing);
        return page.text;
    }
    let reject = listing.kind == "reject";
    if reject || listing.stage.is_some() {
        let what = if reject { words.reject_heading } else { words.stage_heading };
        let stage = listing.stage.map(|stage| format!(" {} {}", words.at_stage, stage.name()));
        page.heading(&format!("{what}{}", stage.unwrap_or_default()), "");
    }
    let mut class = None;
    for row in &listing.codes {
        if class.replace(row.code / 100) != Some(row.code / 100) {
            page.blank();
            page.heading(&format!("{}yz", row.code / 100), &row.class);
        }
        list_row(&mut page, row, reject);
    }
    page.blank();
    page.hanging("", 0, if reject { words.reject_legend } else { words.list_legend });
    page.text
}

fn list_row(page: &mut Page, row: &Row, reject: bool) {
    let words = page.words;
    let filled = if reject { row.listed.unwrap_or(true) } else { row.gatepost };
    let star = if reject && row.gatepost { "*" } else { " " };
    let standing = match row.standing {
        Standing::Core => String::new(),
        standing => format!(" [{}]", standing_name(standing, words)),
    };
    let prefix = format!("  {} {}{star} ", if filled { '●' } else { '○' }, row.code);
    page.hanging(&prefix, 9, &format!("{}{standing}", row.meaning));
    let enhanced: Vec<_> =
        row.enhanced.iter().map(|companion| format!("{} {}", marked(companion), companion.title)).collect();
    if !enhanced.is_empty() {
        page.hanging("         ", 9, &enhanced.join(" · "));
    }
}

/// The code with its marks: `*` for Gatepost's own, `~` for a pair that the registry doesn't name.
fn marked(companion: &Companion) -> String {
    let star = if companion.gatepost { "*" } else { "" };
    let tilde = if companion.pairing == Pairing::Usual { "~" } else { "" };
    format!("{}{star}{tilde}", companion.code)
}

fn companions(companions: &[Companion], words: &Words) -> String {
    let of = |pairing| {
        let codes: Vec<_> = companions
            .iter()
            .filter(|companion| companion.pairing == pairing)
            .map(|companion| companion.code.as_str())
            .collect();
        codes.join(", ")
    };
    [(of(Pairing::Registry), words.registry), (of(Pairing::Usual), words.custom)]
        .into_iter()
        .filter(|(codes, _)| !codes.is_empty())
        .map(|(codes, why)| format!("{codes} ({why})"))
        .collect::<Vec<_>>()
        .join("; ")
}

const fn standing_name(standing: Standing, words: &Words) -> &'static str {
    let [core, extension, registered, private] = words.standings;
    match standing {
        Standing::Core => core,
        Standing::Extension => extension,
        Standing::Registered => registered,
        Standing::Private => private,
    }
}

fn names(stages: &[Stage]) -> String {
    stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(", ")
}

/// The columns that `text` takes; English and German need no wide characters.
fn columns(text: &str) -> usize {
    text.chars().count()
}

/// `text` in lines of at most `room` columns, broken at spaces; a longer word stands alone.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && columns(&line) + 1 + columns(word) > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}
