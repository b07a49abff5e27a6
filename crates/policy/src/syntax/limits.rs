//! How much a policy's text may hold. Each limit has a finding for when it is reached.

/// Longest file, in octets. Lists that are longer stand in files of their own.
pub const FILE_OCTETS: usize = 1 << 20;

/// Most words, numbers, texts and signs in a file.
pub const TOKENS: usize = 200_000;

/// Deepest nesting of `not` and parentheses in a condition.
pub const NESTING: usize = 32;

/// Most elements of one list, table, set or test value in the policy's own text; a longer one stands in a file.
pub const ELEMENTS: usize = 10_000;

/// Longest name of a fact, list, rule and so on, in octets.
pub const NAME_OCTETS: usize = 64;

/// Longest text in quotes, in octets: regular expressions are the longest.
pub const TEXT_OCTETS: usize = 4_096;

/// Longest piece of the text that advice repeats, in octets.
pub const ADVICE_OCTETS: usize = 200;

/// Most findings in one file; reading stops there.
pub const FINDINGS: usize = 50;
