//! What the header section of a part says of its body (RFC 2045, RFC 2183).

use mail_parser::ContentType;

use super::attachment::{Attachment, has_name};
use super::fields;
use super::header::Field;
use super::part::{TransferEncoding, Use};

/// Longest boundary that is taken, in octets (RFC 2046 §5.1.1 has 70; real ones go beyond).
const BOUNDARY_OCTETS_MAX: usize = 256;

/// What a body is.
#[derive(Debug)]
pub(super) struct Description {
    /// As `text/plain`, in lower case.
    media_type: String,
    /// The boundary of a multipart that can be taken apart.
    pub(super) boundary: Option<Vec<u8>>,
    pub(super) encoding: TransferEncoding,
    /// Whether the fields contradict the RFCs or each other.
    pub(super) is_damaged: bool,
    charset: Option<String>,
    is_attachment: bool,
    /// Every Content-Type and Content-Disposition.
    described: Vec<ContentType<'static>>,
}

impl Description {
    /// What `section` says; `is_in_digest` changes what is meant when it says nothing (RFC 2046 §5.1.5).
    pub(super) fn of(section: &[Field], is_in_digest: bool) -> Self {
        let mut is_damaged = false;
        let mut described = |name: &str| {
            let all: Vec<_> = fields(section, name).map(Field::described).collect();
            is_damaged |= all.len() > 1 || all.contains(&None);
            all.into_iter().flatten().collect::<Vec<_>>()
        };
        let mut types = described("content-type");
        let dispositions = described("content-disposition");
        let media_type = match types.first() {
            Some(declared) => {
                is_damaged |= declared.subtype().is_none();
                format!("{}/{}", declared.ctype(), declared.subtype().unwrap_or_default())
            }
            None if is_in_digest => "message/rfc822".to_owned(),
            None => "text/plain".to_owned(),
        };
        let parameter = |name: &str| types.first().and_then(|declared| declared.attribute(name));
        let charset = parameter("charset").map(str::to_owned);
        let mut encodings = fields(section, "content-transfer-encoding").map(Field::text);
        let encoding = encodings.next().map_or(Some(TransferEncoding::Identity), |name| {
            is_damaged |= encodings.next().is_some();
            TransferEncoding::named(&name)
        });
        is_damaged |= encoding.is_none();
        let encoding = encoding.unwrap_or(TransferEncoding::Identity);
        let boundary = if media_type.starts_with("multipart/") {
            let boundary = parameter("boundary").map(str::as_bytes).filter(|boundary| is_boundary(boundary));
            let attributes = types.first().and_then(ContentType::attributes).unwrap_or_default();
            let boundaries = attributes.iter().filter(|attribute| attribute.name == "boundary").count();
            // Programs differ in which of two boundaries they take. RFC 2045 §6.4: a multipart isn't encoded itself.
            is_damaged |= boundary.is_none() || boundaries > 1 || encoding != TransferEncoding::Identity;
            boundary.map(<[u8]>::to_vec)
        } else {
            None
        };
        let is_attachment = dispositions.iter().any(ContentType::is_attachment);
        types.extend(dispositions);
        Self { media_type, boundary, encoding, is_damaged, charset, is_attachment, described: types }
    }

    pub(super) fn is(&self, media_type: &str) -> bool {
        self.media_type == media_type
    }

    /// What is done with the body; `wants_links` says whether the domains of URLs are asked for.
    pub(super) fn purpose(&self, wants_links: bool) -> Use {
        match self.media_type.as_str() {
            "message/rfc822" | "message/global" => Use::Message,
            "text/html" | "application/xhtml+xml" => self.links(wants_links, true),
            text if is_shown(text) => self.links(wants_links, false),
            _ => Use::Count,
        }
    }

    fn links(&self, is_wanted: bool, is_html: bool) -> Use {
        Use::Links { is_wanted, is_html, charset: self.charset.clone() }
    }

    /// The attachment that the part is, if it is one: it is said to be, has a file's name, or is no text.
    pub(super) fn attachment(&self) -> Option<Attachment> {
        let is_one = self.is_attachment || has_name(&self.described) || !is_shown(&self.media_type);
        is_one.then(|| Attachment::new(&self.media_type, &self.described))
    }
}

/// Whether a part of that type is a text that is shown as the message, also a multipart that can't be taken apart.
fn is_shown(media_type: &str) -> bool {
    media_type.starts_with("text/") || media_type.starts_with("multipart/")
}

fn is_boundary(boundary: &[u8]) -> bool {
    !boundary.is_empty() && boundary.len() <= BOUNDARY_OCTETS_MAX
}
