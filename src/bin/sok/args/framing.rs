//! The arguments of messages.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use sok::loops::{Framing, MessageFormat};

use super::MESSAGES;
use super::values::size;

/// What a message is, one of the framings `F`.
#[derive(Debug, Args)]
#[command(next_help_heading = MESSAGES)]
pub(crate) struct FramingArgs<F: ValueEnum + Send + Sync + 'static> {
    /// Where a message ends [default: chunk for serve; line for call, connect and --stdio]; on a socket
    /// that keeps messages apart, only in the input and the output of a client, or of --stdio
    #[arg(long, value_enum)]
    pub(crate) framing: Option<F>,

    /// The maximum size of a message, such as 64KiB; a larger one is an error [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_message: Option<usize>,
}

impl<F: ValueEnum + Send + Sync> FramingArgs<F> {
    /// The largest message.
    pub(crate) fn max_message(&self) -> usize {
        self.max_message
            .unwrap_or_else(|| MessageFormat::default().max_message)
    }

    /// The framing option that was given, if any.
    pub(crate) const fn given(&self) -> Option<&'static str> {
        match (&self.framing, self.max_message) {
            (Some(_), _) => Some("--framing"),
            (None, Some(_)) => Some("--max-message"),
            (None, None) => None,
        }
    }

    /// Whether a limit was given.
    pub(crate) const fn is_limited(&self) -> bool {
        self.max_message.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FramingArg {
    /// What one receive returns
    Chunk,
    /// Ends with a newline
    Line,
    /// Ends with a NUL byte
    Null,
    /// Preceded by its length, 4 bytes big-endian
    Length,
}

impl FramingArg {
    /// The library's framing.
    pub(crate) const fn framing(self) -> Framing {
        match self {
            Self::Chunk => Framing::Chunk,
            Self::Line => Framing::Line,
            Self::Null => Framing::Null,
            Self::Length => Framing::Length,
        }
    }
}

/// The framing of the messages in the input and the output of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InputFramingArg(pub(crate) FramingArg);

impl ValueEnum for InputFramingArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(FramingArg::Line),
            Self(FramingArg::Null),
            Self(FramingArg::Length),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.to_possible_value()
    }
}

/// The framing of a call: as for a server, or everything until end of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFramingArg {
    Messages(FramingArg),
    Eof,
}

impl ValueEnum for CallFramingArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Messages(FramingArg::Chunk),
            Self::Messages(FramingArg::Line),
            Self::Messages(FramingArg::Null),
            Self::Messages(FramingArg::Length),
            Self::Eof,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Messages(framing) => framing.to_possible_value(),
            Self::Eof => Some(PossibleValue::new("eof").help("Everything until end of file")),
        }
    }
}

impl CallFramingArg {
    /// The library's framing; `None` for everything until end of file.
    pub(crate) const fn framing(self) -> Option<Framing> {
        match self {
            Self::Messages(framing) => Some(framing.framing()),
            Self::Eof => None,
        }
    }
}
