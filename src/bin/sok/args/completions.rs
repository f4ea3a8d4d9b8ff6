//! The arguments of `completions`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use crate::completions::{BASH, FISH, ZSH};

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  source <(sok completions bash)
  sok completions bash > ~/.local/share/bash-completion/completions/sok
  sok completions zsh > \"${fpath[1]}/_sok\"
  sok completions fish > ~/.config/fish/completions/sok.fish";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that loads the script
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: ShellArg,

    /// For the script: the words of a command line, and the one to complete. For bash, the line, and the
    /// part of it that bash replaces
    #[arg(
        last = true,
        value_name = "WORD",
        hide = true,
        allow_hyphen_values = true
    )]
    pub(crate) words: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShellArg {
    Bash,
    Zsh,
    Fish,
}

impl ShellArg {
    /// The script for the shell.
    pub(crate) const fn script(self) -> &'static str {
        match self {
            Self::Bash => BASH,
            Self::Zsh => ZSH,
            Self::Fish => FISH,
        }
    }
}
