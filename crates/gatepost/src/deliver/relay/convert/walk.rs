//! The way through the parts of a message (RFC 2046 §5.1), line by line, for whoever visits them.
//!
//! Invariants: what is visited, put together, is the message; how it is cut doesn't matter; no recursion.

use super::section::{Kind, Section};
use super::{DEPTH_MAX, Obstacle, SECTION_OCTETS_MAX, SECTIONS_MAX};
use crate::facts::content::line::{Lines, Piece};

/// What is told of a message on the way through it, in order.
pub(super) trait Visit {
    /// A header section, without the empty line behind it.
    fn section(&mut self, section: &Section, place: Place);
    /// Octets of the body below the last section, a line or a piece of one.
    fn leaf(&mut self, octets: &[u8]);
    /// That body is over; `at_delimiter` when the last line's end belongs to what follows (RFC 2046 §5.1.1).
    fn leaf_end(&mut self, at_delimiter: bool);
    /// What belongs to no body: empty lines behind sections, delimiters, and what stands before the first and behind the
    /// last part.
    fn between(&mut self, octets: &[u8]);
}

/// Where a header section stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// How many sections stand before it.
    pub(super) number: usize,
    /// Whether a signature covers it.
    pub(super) is_signed: bool,
}

#[derive(Debug)]
struct Frame {
    /// What its delimiters say behind `--`; `None` for a message.
    boundary: Option<Vec<u8>>,
    is_digest: bool,
    is_signed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Leaf,
    Between,
}

/// A walk through a message.
#[derive(Debug)]
pub(super) struct Walk<V> {
    lines: Lines,
    way: Way<V>,
}

#[derive(Debug)]
struct Way<V> {
    visitor: V,
    frames: Vec<Frame>,
    state: State,
    section: Vec<u8>,
    sections: usize,
    obstacle: Option<Obstacle>,
}

impl<V: Visit> Walk<V> {
    pub(super) fn new(visitor: V) -> Self {
        let way = Way {
            visitor,
            frames: Vec::new(),
            state: State::Header,
            section: Vec::new(),
            sections: 0,
            obstacle: None,
        };
        Self { lines: Lines::default(), way }
    }

    pub(super) fn read(&mut self, octets: &[u8]) {
        let Self { lines, way } = self;
        lines.read(octets, |piece| way.read(piece));
    }

    pub(super) const fn visitor(&mut self) -> &mut V {
        &mut self.way.visitor
    }

    /// Ends the message.
    ///
    /// # Errors
    /// A limit was met, and the visitor has not seen all.
    pub(super) fn finish(self) -> Result<V, Obstacle> {
        let Self { mut lines, mut way } = self;
        lines.finish(|piece| way.read(piece));
        way.end_part(false);
        way.obstacle.map_or(Ok(way.visitor), Err)
    }
}

impl<V: Visit> Way<V> {
    fn read(&mut self, piece: Piece<'_>) {
        if self.obstacle.is_some() {
            return;
        }
        if piece.starts_line
            && let Some(rest) = piece.octets.strip_prefix(b"--")
            && let Some((index, is_close)) = self.delimiter(rest)
        {
            self.end_part(true);
            self.frames.truncate(if is_close { index } else { index + 1 });
            self.state = if is_close { State::Between } else { State::Header };
            return self.visitor.between(piece.octets);
        }
        match self.state {
            State::Header if piece.starts_line && piece.without_line_end().is_empty() => {
                self.end_section();
                self.visitor.between(piece.octets);
            }
            State::Header if self.section.len() + piece.octets.len() > SECTION_OCTETS_MAX => {
                self.obstacle = Some(Obstacle::Limits);
            }
            State::Header => self.section.extend_from_slice(piece.octets),
            State::Leaf => self.visitor.leaf(piece.octets),
            State::Between => self.visitor.between(piece.octets),
        }
    }

    /// The frame whose delimiter the line is, given what stands behind `--`, and whether it closes the frame. The start
    /// of the line is enough (RFC 2046 §5.1.1); the longest boundary counts, of equal ones the innermost.
    fn delimiter(&self, rest: &[u8]) -> Option<(usize, bool)> {
        let fitting = self.frames.iter().enumerate().filter_map(|(index, frame)| {
            let boundary = frame.boundary.as_deref()?;
            rest.starts_with(boundary).then_some((boundary.len(), index))
        });
        let (octets, index) = fitting.max()?;
        Some((index, rest.get(octets..)?.starts_with(b"--")))
    }

    fn end_part(&mut self, at_delimiter: bool) {
        match self.state {
            // A part that is over before its empty line has no body.
            State::Header => {
                self.end_section();
                if self.state == State::Leaf {
                    self.visitor.leaf_end(false);
                }
            }
            State::Leaf => self.visitor.leaf_end(at_delimiter),
            State::Between => {}
        }
        self.state = State::Between;
    }

    fn end_section(&mut self) {
        if self.sections >= SECTIONS_MAX {
            self.obstacle = Some(Obstacle::Limits);
            return;
        }
        let is_in_digest = self.frames.last().is_some_and(|frame| frame.is_digest);
        let section = Section::new(std::mem::take(&mut self.section), is_in_digest);
        let is_signed = self.frames.iter().any(|frame| frame.is_signed);
        self.visitor.section(&section, Place { number: self.sections, is_signed });
        self.sections += 1;
        self.state = match &section.kind {
            Kind::Leaf => State::Leaf,
            Kind::Multipart { .. } => State::Between,
            Kind::Message => State::Header,
        };
        let frame = match section.kind {
            Kind::Leaf => return,
            Kind::Multipart { boundary, is_digest, is_signed } => {
                Frame { boundary: Some(boundary), is_digest, is_signed }
            }
            Kind::Message => Frame { boundary: None, is_digest: false, is_signed: false },
        };
        if self.frames.len() >= DEPTH_MAX {
            self.obstacle = Some(Obstacle::Limits);
        }
        self.frames.push(frame);
    }
}
