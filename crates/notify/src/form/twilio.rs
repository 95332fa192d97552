//! Twilio's calls and text messages: forms of fields.

use crate::bounds;
use crate::templates::Rendering;
use crate::words::Words;

/// Longest text message that Twilio takes.
pub(crate) const SMS_CHARS_MAX: usize = 1600;
/// What one text message holds; the built-in template keeps to it, because each further one costs as much.
pub(crate) const SMS_CHARS_PREFERRED: usize = 160;
/// Longest TwiML that may be part of a request.
pub(crate) const TWIML_CHARS_MAX: usize = 4000;
/// Longest text that is read out: about a minute.
pub(crate) const SAY_CHARS_MAX: usize = 900;

/// What is read out to who answers, twice, for they have just woken up.
pub(crate) fn twiml(rendering: &mut Rendering<'_>) -> String {
    let text = bounds::line(&rendering.section("say"), SAY_CHARS_MAX);
    let document = |text: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say loop=\"2\">{}</Say></Response>",
            escape_xml(text)
        )
    };
    // An escaped character is up to six, so that even a short text may be too long.
    let mut length = text.chars().count();
    let mut xml = document(&text);
    while xml.chars().count() > TWIML_CHARS_MAX {
        length /= 2;
        xml = document(&bounds::chars(&text, length));
    }
    xml
}

/// A text message.
pub(crate) fn sms(words: &Words, rendering: &mut Rendering<'_>) -> String {
    let text = narrow(&rendering.section("text"));
    if !rendering.is_built_in("text") {
        return not_empty(bounds::chars(&text, SMS_CHARS_MAX), words);
    }
    let excess = text.chars().count().saturating_sub(SMS_CHARS_PREFERRED);
    if excess == 0 {
        return not_empty(text, words);
    }
    // The title gives way: how bad it is, what happened, and the id stand around it.
    let room = words.title.chars().count().saturating_sub(excess + 3);
    let mut shorter: String = words.title.chars().take(room).collect();
    shorter.push_str("...");
    let text = text.replacen(&narrow(&words.title), &narrow(&shorter), 1);
    bounds::chars(&text, SMS_CHARS_PREFERRED).replace('…', ".")
}

fn not_empty(text: String, words: &Words) -> String {
    if text.trim().is_empty() {
        bounds::chars(&words.headline, SMS_CHARS_PREFERRED)
    } else {
        text
    }
}

/// Marks that a text message holds at a price: one of them and a message holds 70 characters, not 160.
fn narrow(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '‘' | '’' => '\'',
            '“' | '”' => '"',
            '–' | '—' => '-',
            '…' => '.',
            '\u{a0}' => ' ',
            c if c.is_control() && c != '\n' => ' ',
            c => c,
        })
        .collect()
}

/// Text that may stand in XML; what may not is a space.
pub(crate) fn escape_xml(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => xml.push(' '),
            c => xml.push(c),
        }
    }
    xml
}
