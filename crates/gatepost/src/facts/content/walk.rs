//! The way through a MIME structure (RFC 2046 §5): which part a line belongs to.
//!
//! Invariants: it goes line by line, without recursion but for encoded messages, and there at most
//! [`ENCODED_DEPTH_MAX`](super::ENCODED_DEPTH_MAX) deep. Only fields, encodings and charsets are left to `mail-parser`:
//! its tree of parts has no limits, and 34,000 messages inside each other, in 1 MB, overflow the stack when it is dropped.

use super::describe::Description;
use super::header::{HeaderBudget, Section};
use super::line::{Lines, Piece};
use super::part::{Finished, Leaf, TransferEncoding, Use};
use super::{Asked, DEPTH_MAX, ENCODED_DEPTH_MAX, PARTS_MAX, Seen};

/// What encloses the present line.
#[derive(Debug)]
enum Frame {
    /// A multipart.
    Multipart {
        /// What its delimiters say behind `--`.
        boundary: Vec<u8>,
        /// Whether its parts are messages unless they say otherwise (RFC 2046 §5.1.5).
        is_digest: bool,
    },
    /// A message that is a part of another: its place among the attachments, and where it began.
    Message { attachment: usize, start_octets: u64 },
}

/// What the present line is of.
#[derive(Debug)]
enum State {
    /// A header section.
    Header(Section),
    /// A body without parts.
    Body(Box<Leaf>),
    /// What belongs to no part: before the first and behind the last part of a multipart.
    Between,
    /// What isn't looked at any more.
    Beyond,
}

/// Everything about the way so far.
#[derive(Debug)]
pub(super) struct Walk {
    asked: Asked,
    lines: Lines,
    place: Place,
}

/// Where the walk stands, and what it saw.
#[derive(Debug)]
struct Place {
    frames: Vec<Frame>,
    state: State,
    seen: Seen,
    budget: HeaderBudget,
    /// Whether the next header section is that of the whole message.
    is_first_section: bool,
    /// Frames around an encoded message that is being walked through.
    depth_around: usize,
    encoded_depth: usize,
    octets: u64,
    /// Octets of the end of the line before.
    line_end: u64,
}

impl Walk {
    pub(super) fn new(asked: Asked) -> Self {
        let place = Place {
            frames: Vec::new(),
            state: State::Header(Section::default()),
            seen: Seen::default(),
            budget: HeaderBudget::default(),
            is_first_section: true,
            depth_around: 0,
            encoded_depth: 0,
            octets: 0,
            line_end: 0,
        };
        Self { asked, lines: Lines::default(), place }
    }

    pub(super) fn read(&mut self, octets: &[u8]) {
        let Self { asked, lines, place } = self;
        if !matches!(place.state, State::Beyond) {
            lines.read(octets, |piece| place.read(piece, asked));
        }
    }

    /// Ends the content.
    pub(super) fn finish(&mut self) {
        let Self { asked, lines, place } = self;
        lines.finish(|piece| place.read(piece, asked));
        place.end_all(asked);
    }

    pub(super) fn into_seen(self) -> Seen {
        self.place.seen
    }
}

impl Place {
    fn read(&mut self, piece: Piece<'_>, asked: &Asked) {
        if piece.starts_line
            && let Some(rest) = piece.octets.strip_prefix(b"--")
            && let Some((frame, is_close)) = self.delimiter(rest)
        {
            self.pass_delimiter(frame, is_close, asked);
            self.pass(piece);
        } else {
            self.pass(piece);
            self.read_content(piece, asked);
        }
    }

    fn pass(&mut self, piece: Piece<'_>) {
        self.octets = self.octets.saturating_add(u64::try_from(piece.octets.len()).unwrap_or(u64::MAX));
        self.line_end = piece.line_end_octets();
    }

    fn read_content(&mut self, piece: Piece<'_>, asked: &Asked) {
        match &mut self.state {
            State::Header(_) if piece.starts_line && piece.without_line_end().is_empty() => {
                self.end_header(asked);
            }
            State::Header(section) => {
                let wanted = self.is_first_section;
                section.read(piece, &mut self.budget, |name| wanted && asked.wants_field(name));
            }
            State::Body(leaf) => leaf.read(piece),
            State::Between | State::Beyond => {}
        }
    }

    /// The frame whose delimiter the line is, given what stands behind `--`, and whether it closes the frame. The start
    /// of the line is enough (RFC 2046 §5.1.1); the longest boundary counts, of equal ones the innermost.
    fn delimiter(&self, rest: &[u8]) -> Option<(usize, bool)> {
        let mut found: Option<(usize, &[u8])> = None;
        for (index, frame) in self.frames.iter().enumerate() {
            if let Frame::Multipart { boundary, .. } = frame
                && rest.starts_with(boundary)
                && found.is_none_or(|(_, longest)| boundary.len() >= longest.len())
            {
                found = Some((index, boundary));
            }
        }
        let (index, boundary) = found?;
        Some((index, rest.get(boundary.len()..)?.starts_with(b"--")))
    }

    fn pass_delimiter(&mut self, index: usize, is_close: bool, asked: &Asked) {
        if matches!(self.state, State::Beyond) {
            return;
        }
        self.end_part(asked);
        while self.frames.len() > index + 1 {
            self.leave();
        }
        if is_close {
            self.frames.pop();
        }
        if !matches!(self.state, State::Beyond) {
            self.state = if is_close { State::Between } else { State::Header(Section::default()) };
        }
    }

    /// Leaves the innermost frame without its closing delimiter.
    fn leave(&mut self) {
        match self.frames.pop() {
            Some(Frame::Multipart { .. }) => self.seen.is_damaged = true,
            Some(Frame::Message { attachment, start_octets }) => {
                let end = self.octets.saturating_sub(self.line_end);
                if let Some(attachment) = self.seen.attachments.get_mut(attachment) {
                    attachment.size_octets = end.saturating_sub(start_octets);
                }
            }
            None => {}
        }
    }

    fn end_all(&mut self, asked: &Asked) {
        self.end_part(asked);
        while !self.frames.is_empty() {
            self.leave();
        }
    }

    /// Ends the part that the line before belonged to.
    fn end_part(&mut self, asked: &Asked) {
        if matches!(self.state, State::Header(_)) {
            self.end_header(asked);
        }
        match std::mem::replace(&mut self.state, State::Between) {
            State::Body(leaf) => self.end_body(*leaf, asked),
            State::Beyond => self.state = State::Beyond,
            State::Header(_) | State::Between => {}
        }
    }

    fn end_body(&mut self, leaf: Leaf, asked: &Asked) {
        let Finished { attachment, message, is_beyond } = leaf.finish(&mut self.seen.url_domains);
        self.seen.attachments.extend(attachment);
        self.seen.is_damaged |= is_beyond;
        if let Some(message) = message {
            self.walk_through(&message, asked);
        }
    }

    /// Looks into a message that was encoded.
    fn walk_through(&mut self, message: &[u8], asked: &Asked) {
        let frames = std::mem::take(&mut self.frames);
        let (octets, line_end) = (self.octets, self.line_end);
        self.depth_around += frames.len() + 1;
        self.encoded_depth += 1;
        self.state = State::Header(Section::default());
        let mut lines = Lines::default();
        lines.read(message, |piece| self.read(piece, asked));
        lines.finish(|piece| self.read(piece, asked));
        self.end_all(asked);
        self.encoded_depth -= 1;
        self.depth_around -= frames.len() + 1;
        self.frames = frames;
        (self.octets, self.line_end) = (octets, line_end);
    }

    fn end_header(&mut self, asked: &Asked) {
        let State::Header(section) = std::mem::replace(&mut self.state, State::Between) else { return };
        self.seen.is_damaged |= section.is_damaged;
        let description = Description::of(&section.fields, self.is_in_digest());
        if std::mem::take(&mut self.is_first_section) {
            self.seen.fields = section.fields;
            if asked.is_of_the_header_section() {
                self.state = State::Beyond;
                return;
            }
        }
        self.seen.is_damaged |= description.is_damaged;
        self.begin_body(description, asked);
    }

    fn is_in_digest(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Multipart { is_digest: true, .. }))
    }

    fn begin_body(&mut self, mut description: Description, asked: &Asked) {
        let is_too_deep = self.depth_around + self.frames.len() >= DEPTH_MAX;
        if let Some(boundary) = description.boundary.take() {
            if is_too_deep {
                self.seen.is_damaged = true;
            } else {
                let is_digest = description.is("multipart/digest");
                self.frames.push(Frame::Multipart { boundary, is_digest });
            }
            self.state = State::Between;
            return;
        }
        if self.seen.parts == PARTS_MAX {
            self.seen.is_damaged = true;
            self.state = State::Beyond;
            return;
        }
        self.seen.parts += 1;
        let attachment = description.attachment();
        let encoding = description.encoding;
        let is_identity = encoding == TransferEncoding::Identity;
        let mut purpose = description.purpose(asked.has("url.domain"));
        if purpose == Use::Message && (is_too_deep || !is_identity && self.encoded_depth >= ENCODED_DEPTH_MAX)
        {
            self.seen.is_damaged = true;
            purpose = Use::Count;
        }
        if purpose == Use::Message && is_identity {
            let place = self.seen.attachments.len();
            self.frames.push(Frame::Message { attachment: place, start_octets: self.octets });
            self.seen.attachments.extend(attachment);
            self.state = State::Header(Section::default());
        } else {
            self.state = State::Body(Box::new(Leaf::new(encoding, purpose, attachment)));
        }
    }
}
