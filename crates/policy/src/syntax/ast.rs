//! The tree of a policy's text: what was written, with its places, before anything is known to make sense.
//!
//! Names, numbers and words are kept as they stand; the checker gives them meaning.

use std::net::IpAddr;
use std::time::Duration;

pub use crate::source::FilterKind;
use crate::span::{Span, Spanned};

/// A name or word as it stands.
pub type Word = Spanned<String>;

/// One file, its items in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct File {
    /// The items.
    pub items: Vec<Item>,
}

/// What stands at the top of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `include "more.policy"`.
    Include(Spanned<String>),
    /// `networks trusted = ...` and the like.
    List(List),
    /// `dnsbl zen = ...`, `table ...`, `rate ...`.
    Source(SourceItem),
    /// `greylist { wait 5min ... }`.
    Greylist(GreylistItem),
    /// `define friend = ...`.
    Define(Define),
    /// `reply no-such-mailbox reject 550 5.1.1 "..."`: other words for a fixed refusal.
    Reply(ReplyItem),
    /// `at mail { ... }`.
    Stage(StageBlock),
    /// `given clean { ... }`: facts that tests start from.
    Given(Given),
    /// `test "..." from clean { ... }`.
    Test(Test),
}

/// A named list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// `networks`, `names` or `patterns`.
    pub kind: Spanned<ListKind>,
    /// Its name.
    pub name: Word,
    /// Its elements.
    pub elements: Vec<ListElement>,
}

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// Addresses and networks.
    Networks,
    /// Texts: whole names, compared without regard to case. An element that begins with a dot takes in all
    /// subdomains; one that begins with `@` all mailboxes of the domain.
    Names,
    /// Texts with `*` and `?`.
    Patterns,
}

/// An element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListElement {
    /// `192.0.2.0/24`.
    Network(Spanned<Network>),
    /// `"example.org"`.
    Text(Spanned<String>),
    /// `file "blocked-senders.txt"`: an element a line, `#` begins a comment.
    File(Spanned<String>),
}

/// A network as written; host bits may be set, which the checker warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// The length of the prefix.
    pub prefix: u8,
}

/// A source of facts that the policy declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceItem {
    /// `shadow` in front: gathered and journalled, never decided on.
    pub shadow: Option<Span>,
    /// Its name.
    pub name: Word,
    /// What it is.
    pub kind: Spanned<SourceKind>,
}

/// What a declared source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// `dnsbl|dnswl|rhsbl NAME = "zone" of FACT ...`.
    DnsList {
        /// Which of the three.
        kind: DnsListKind,
        /// The zone.
        zone: Spanned<String>,
        /// What is looked up.
        key: FactPath,
        /// `codes 127.0.0.2, 127.0.0.4..127.0.0.7`: the answers that count; without it all of 127.0.0.0/8 but the
        /// errors of 127.255.255.0/24.
        codes: Vec<Spanned<CodeRange>>,
        /// `weight 3`: what it adds to `dnsbl.score`.
        weight: Option<Spanned<i64>>,
        /// `timeout 2s`.
        timeout: Option<Spanned<Duration>>,
    },
    /// `table NAME = ... keyed by FACT`.
    Table {
        /// Where its entries are.
        contents: TableContents,
        /// What is looked up.
        key: FactPath,
    },
    /// `rate NAME = recipients by client.ip over 1h`.
    Rate {
        /// What is counted.
        counted: Word,
        /// By which facts.
        keys: Vec<FactPath>,
        /// Over which time.
        over: Spanned<Duration>,
        /// `as window` or `as bucket`.
        form: Option<Word>,
    },
    /// `milter|service|clamav|rspamd NAME = "address" ...`: another program that is asked.
    Filter {
        /// Which protocol it speaks.
        kind: FilterKind,
        /// Where it listens.
        address: Spanned<String>,
        /// `at recipient`: when it is asked.
        stage: Option<Word>,
        /// `timeout 30s`.
        timeout: Option<Spanned<Duration>>,
        /// `apply`: what it answers is done without a rule that says so.
        apply: Option<Span>,
        /// `failing accept` or `failing defer`: what is done with `apply` when it can't be asked.
        failing: Option<Word>,
    },
}

/// Which kind of DNS list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsListKind {
    /// A list of addresses that speaks against them.
    Dnsbl,
    /// A list of addresses that speaks for them.
    Dnswl,
    /// A list of domains that speaks against them.
    Rhsbl,
}

/// The answers from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRange {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

/// Where a table's entries are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableContents {
    /// `{ "key" = "value", ... }`.
    Inline(Vec<(Spanned<String>, Spanned<String>)>),
    /// `file "path"`: `key value` a line.
    File(Spanned<String>),
    /// `cidr "path"`: `network value` a line; the longest prefix counts.
    Cidr(Spanned<String>),
    /// `regex "path"`: `/expression/ value` a line; the first that matches counts.
    Regex(Spanned<String>),
    /// `external "name"`: a table of the configuration.
    External(Spanned<String>),
}

/// `greylist { wait 5min  keep 36d  ipv4 24  ipv6 64  auto-allow 5 }`: how the greylist works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreylistItem {
    /// The place of the word `greylist`.
    pub span: Span,
    /// The settings in order: name and value.
    pub settings: Vec<(Word, Literal)>,
}

/// `define NAME = CONDITION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Define {
    /// Its name.
    pub name: Word,
    /// What it stands for.
    pub condition: Condition,
}

/// Other words for a fixed refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyItem {
    /// The refusal's name.
    pub name: Word,
    /// What it is to say.
    pub answer: Answer,
}

/// The rules of one or several stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageBlock {
    /// The stages, as written.
    pub stages: Vec<Word>,
    /// What stands in the block.
    pub entries: Vec<StageEntry>,
}

/// What stands in a stage's block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageEntry {
    /// A rule.
    Rule(Box<Rule>),
    /// `use no-such-mailbox`: a fixed refusal at this place.
    Use(Word),
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `observe` in front.
    pub observe: Option<Span>,
    /// Its name.
    pub name: Word,
    /// Its condition; none holds always.
    pub condition: Option<Condition>,
    /// What it does, in order; at most one of them answers.
    pub actions: Vec<Spanned<Action>>,
    /// `unsure ...`: what it answers when its condition can't be told.
    pub unsure: Option<Spanned<Action>>,
    /// From its first word to its last.
    pub span: Span,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `accept`, or `accept relay`.
    Accept {
        /// Whether `relay` stands behind it.
        relay: bool,
    },
    /// `reject`, `defer` or `disconnect` with its reply.
    Answer(Answer),
    /// `tag "spam"`.
    Tag(Spanned<String>),
    /// `add header "X-Spam" "yes"`.
    AddHeader(Spanned<String>, Spanned<String>),
    /// `quarantine`.
    Quarantine,
    /// `hold`.
    Hold,
    /// `redirect to "abuse@example.org"`.
    Redirect(Spanned<String>),
    /// `discard`.
    Discard,
    /// `tarpit 5s`.
    Tarpit(Spanned<Duration>),
}

/// A refusal as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The verb.
    pub verb: Spanned<Verb>,
    /// The reply code as written, any number.
    pub code: Spanned<u32>,
    /// The enhanced code, when one is written.
    pub enhanced: Option<Spanned<[u32; 3]>>,
    /// The text with its placeholders, when one is written.
    pub text: Option<Spanned<String>>,
}

/// How a rule refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// For good: 5yz.
    Reject,
    /// For now: 4yz.
    Defer,
    /// With the close of the connection: 4yz or 5yz.
    Disconnect,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// All hold.
    And(Vec<Condition>),
    /// One holds at least.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>, Span),
    /// A single test.
    Test(Comparison),
}

/// A single test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// `any` or `every` in front.
    pub quantifier: Option<Spanned<Quantifier>>,
    /// What is tested: a fact, or the name of a definition.
    pub subject: FactPath,
    /// How; a bare name has none.
    pub test: Option<TestOf>,
    /// The whole of it.
    pub span: Span,
}

/// How a fact of several values is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// One value at least.
    Any,
    /// All values; with none it holds.
    Every,
}

/// A fact as written: `client.ip`, `zen.listed`, `message.header("List-Id")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactPath {
    /// The dotted name.
    pub name: String,
    /// The argument in parentheses.
    pub argument: Option<Spanned<String>>,
    /// Its place.
    pub span: Span,
}

/// What follows the fact in a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestOf {
    /// `is WORD`, `is not WORD`: yes, no, present, missing, or a choice.
    Is {
        /// Whether `not` stands in it.
        negated: bool,
        /// The word.
        word: Word,
    },
    /// `== != < <= > >=` with a value or another fact.
    Compare(Spanned<Operator>, Operand),
    /// `in NAME`, `not in NAME`, `in (a, b)`.
    In {
        /// Whether `not` stands in front.
        negated: bool,
        /// The set.
        set: Set,
    },
    /// `contains`, `starts with`, `ends with`, `like`, `matches`.
    Matches(Spanned<TextTest>, Spanned<String>),
}

/// An order or equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// A test of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTest {
    /// `contains "x"`
    Contains,
    /// `starts with "x"`
    StartsWith,
    /// `ends with "x"`
    EndsWith,
    /// `like "*.example.org"`
    Like,
    /// `matches "^[0-9]+$"`
    Matches,
}

/// The right side of a comparison. A dotted name is a fact; a bare word is a [`LiteralValue::Word`], which the checker finds
/// to be a source's name, a definition or a word of the fact's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A value.
    Literal(Literal),
    /// Another fact.
    Fact(FactPath),
}

/// The right side of `in`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set {
    /// A list by its name.
    Named(Word),
    /// Values in parentheses.
    Literals(Vec<Literal>, Span),
}

/// A value as written.
pub type Literal = Spanned<LiteralValue>;

/// A value as written, without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiteralValue {
    /// `"text"`
    Text(String),
    /// `12`
    Number(i64),
    /// `50 MB`, in octets.
    Octets(i64),
    /// `1h`
    Duration(Duration),
    /// `192.0.2.1` or `192.0.2.0/24`
    Network(Network),
    /// `yes`, `fail`, `unsure`, `missing`: a word whose meaning the checker finds.
    Word(String),
}

/// `given NAME [from NAME] { fact = value ... }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its name.
    pub name: Word,
    /// The facts it starts from.
    pub base: Option<Word>,
    /// What it says.
    pub facts: Vec<GivenFact>,
}

/// `fact = value`; several values for a fact that has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFact {
    /// The fact.
    pub fact: FactPath,
    /// Its values: one, or several separated by commas.
    pub values: Vec<Literal>,
}

/// `test "name" [from NAME] { fact = value ... at STAGE expect ... }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Its name.
    pub name: Spanned<String>,
    /// The facts it starts from.
    pub base: Option<Word>,
    /// Facts and expectations, in order; an expectation sees the facts before it.
    pub steps: Vec<TestStep>,
    /// From its first word to its last.
    pub span: Span,
}

/// A line of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestStep {
    /// A fact.
    Fact(GivenFact),
    /// `at STAGE expect VERDICT [CODE [X.Y.Z]] [by RULE]`.
    Expect(Expectation),
}

/// What a test expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The stage.
    pub stage: Word,
    /// `accept`, `relay`, `reject`, `defer`, `disconnect`, or an effect: `tag`, `quarantine`, `hold`, `redirect`, `discard`,
    /// `tarpit`, `header`.
    pub verdict: Word,
    /// The reply code.
    pub code: Option<Spanned<u32>>,
    /// The enhanced code.
    pub enhanced: Option<Spanned<[u32; 3]>>,
    /// The rule that answers.
    pub rule: Option<Word>,
    /// From `at` to its last word.
    pub span: Span,
}
