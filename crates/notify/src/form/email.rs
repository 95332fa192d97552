//! Mail: a text and a page of HTML, one thread for each incident.

use alert::{Kind, Message, Notification};
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use ring::digest::{SHA256, digest};

use crate::bounds;
use crate::templates::Rendering;
use crate::when;

/// Longest subject. RFC 5322 allows 998 bytes a line; lists of mail show some hundred characters.
pub(crate) const SUBJECT_CHARS_MAX: usize = 200;

/// Longest part of an id that is taken as it is; a line of a header stays far below 998 bytes.
const ID_BYTES_MAX: usize = 100;

/// Tells other programs not to answer (RFC 3834): no note of absence comes back to an alert.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The parts of a mail.
pub(crate) struct Parts {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
}

/// Says it.
pub(crate) fn parts(rendering: &mut Rendering<'_>) -> Parts {
    let subject = bounds::line(&rendering.section("subject"), SUBJECT_CHARS_MAX);
    Parts {
        subject,
        text: rendering.section("text"),
        html: rendering.section("html"),
    }
}

/// The mail itself.
///
/// # Errors
/// When an address cannot be written.
pub(crate) fn mail(
    parts: Parts,
    notification: &Notification,
    from: &Mailbox,
    to: Mailbox,
) -> Result<lettre::Message, lettre::error::Error> {
    let ids = Ids::new(notification, from.email.domain());
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .to(to)
        // When it was said, not when it is tried: what is sent again is the same mail.
        .date(when::system_time(notification.message.at_millis))
        .subject(parts.subject)
        .header(AutoSubmitted)
        .message_id(Some(ids.own.clone()));
    // A test belongs to no incident.
    if ids.own != ids.first && notification.message.kind != Kind::Test {
        builder = builder.in_reply_to(ids.first.clone()).references(ids.first);
    }
    builder.multipart(MultiPart::alternative_plain_html(parts.text, parts.html))
}

/// The ids of a mail and of its incident's first.
pub(crate) struct Ids {
    /// This mail's.
    pub(crate) own: String,
    /// That of the mail that opened the incident to this address.
    pub(crate) first: String,
}

impl Ids {
    /// Both follow from what is known, so that the first need not be remembered: the word that opens an
    /// incident has an id made of incident and address, every other one of the notification.
    pub(crate) fn new(notification: &Notification, domain: &str) -> Self {
        let Message {
            kind,
            incident,
            reopened,
            ..
        } = &notification.message;
        let address = short_hash(&notification.target.address);
        let first = format!("<incident.{}.{address}@{domain}>", word(incident));
        // A second mail of the same id is not shown: that an incident is open again is another.
        let own = if *kind == Kind::Trigger && *reopened == 0 {
            first.clone()
        } else {
            format!("<word.{}@{domain}>", word(&notification.id))
        };
        Self { own, first }
    }
}

/// An id as a word that may stand in a `Message-ID`.
fn word(id: &str) -> String {
    let is_word = !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_word {
        id.to_owned()
    } else {
        short_hash(id)
    }
}

/// 16 hexadecimal digits of a text.
fn short_hash(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    let (start, _) = hash.as_ref().split_at(8);
    start.iter().map(|byte| format!("{byte:02x}")).collect()
}
