//! `gatepost reference`: the generated pages of `docs/reference`.

use std::io::Write as _;
use std::process::ExitCode;

/// What `gatepost reference` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The page.
    #[arg(value_enum)]
    page: Page,
}

/// A generated page.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Page {
    /// The replies of the server.
    Replies,
    /// What replies of other servers mean.
    RemoteReplies,
    /// The keys of the configuration.
    Configuration,
    /// The grammar of policies.
    PolicyGrammar,
    /// The facts of policies.
    PolicyFacts,
    /// The reply codes of policies, by stage.
    PolicyReplies,
}

/// Prints the page.
///
/// # Errors
/// When standard output is gone.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = match args.page {
        Page::Replies => crate::codes::reference_replies(),
        Page::RemoteReplies => crate::deliver::remote_replies(),
        Page::Configuration => crate::config::reference(),
        Page::PolicyGrammar => policy::syntax::reference(),
        Page::PolicyFacts => policy::reference::facts(),
        Page::PolicyReplies => policy::reference::replies(),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
