//! The kinds of traffic between two streams, by the sizes of their pieces.

/// The maximum size of one receive of messages.
pub(super) const PIECE: usize = 64 * 1024;
/// The maximum size of one receive of a copied stream. TCP splits 64 KiB into one full segment and
/// one of a few bytes, so that such pieces cost about twice as much as one large piece.
pub(super) const STREAM_PIECE: usize = 4 * PIECE;
/// After this many full receives, a direction is a stream.
const FULL_PIECES: u8 = 3;
/// A smaller piece of a stream is small; after [`SMALL_PIECES`] small ones it is a stream no more.
pub(super) const SMALL_PIECE: usize = 16 * 1024;
const SMALL_PIECES: u8 = 4;

/// The kind of traffic, which decides how it is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Messages,
    CopiedStream,
    SplicedStream,
}

impl Flow {
    /// Whether a piece of `count` bytes suggests the other kind, and how many such pieces in a row
    /// are enough to change.
    pub(super) const fn is_other(self, count: usize) -> (bool, u8) {
        match self {
            Self::Messages => (count == PIECE, FULL_PIECES),
            Self::CopiedStream | Self::SplicedStream => (count < SMALL_PIECE, SMALL_PIECES),
        }
    }

    /// The size of one receive.
    pub(super) const fn room(self) -> usize {
        match self {
            Self::Messages => PIECE,
            Self::CopiedStream | Self::SplicedStream => STREAM_PIECE,
        }
    }
}
