//! Slack's Block Kit.

use serde_json::{Value, json};

use crate::templates::Rendering;
use crate::words::Words;

/// Longest text of a header block.
pub(crate) const HEADER_MAX: usize = 150;
/// Longest text of a section block.
pub(crate) const SECTION_MAX: usize = 3000;
/// Longest text of an element of a context block: Slack names no bound but that of any text object.
pub(crate) const CONTEXT_MAX: usize = 2000;
/// Most blocks of a message.
pub(crate) const BLOCKS_MAX: usize = 50;
/// Longest `text`, which stands in notices and where blocks cannot be shown. Slack cuts at 40,000; it says
/// to stay below 4,000.
pub(crate) const FALLBACK_MAX: usize = 1000;
/// Longest message, all texts together. Slack does not document it and refuses some 13,200.
pub(crate) const TOTAL_MAX: usize = 12_500;

/// Blocks that stand after the alerts: how many were left out, and the context.
const BLOCKS_BEHIND: usize = 2;
/// What those take at most.
const BEHIND_MAX: usize = CONTEXT_MAX + 100;

/// Blocks, and what is left for more.
struct Blocks {
    blocks: Vec<Value>,
    room: usize,
}

impl Blocks {
    fn push(&mut self, text: &str, block: Value) {
        self.room = self.room.saturating_sub(units(text));
        self.blocks.push(block);
    }

    fn section(&mut self, text: &str) {
        self.push(
            text,
            json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}),
        );
    }
}

/// The message, without the channel and the thread.
pub(crate) fn message(words: &Words, rendering: &mut Rendering<'_>) -> Value {
    let mut header = plain(&rendering.section("header"), HEADER_MAX);
    if header.is_empty() {
        header = plain(&words.headline, HEADER_MAX);
    }
    // Shown as mrkdwn, unlike the header.
    let fallback = mrkdwn(
        &crate::templates::escape_slack(&format!("{} - {}", words.headline, words.lead)),
        FALLBACK_MAX,
    );
    let mut blocks = Blocks {
        blocks: Vec::new(),
        room: TOTAL_MAX - units(&fallback),
    };
    blocks.push(
        &header,
        json!({"type": "header", "text": {"type": "plain_text", "text": header, "emoji": false}}),
    );
    let text = mrkdwn(&rendering.section("text"), SECTION_MAX);
    if !text.is_empty() {
        blocks.section(&text);
    }
    let shown = alerts(words, rendering, &mut blocks);
    let left_out = words.alerts_total.saturating_sub(shown);
    if left_out > 0 {
        let plural = if left_out == 1 { "" } else { "s" };
        blocks.section(&format!("... and {left_out} more alert{plural}."));
    }
    let context = mrkdwn(&rendering.section("context"), CONTEXT_MAX);
    if !context.is_empty() {
        blocks.push(
            &context,
            json!({"type": "context", "elements": [{"type": "mrkdwn", "text": context}]}),
        );
    }
    json!({"text": fallback, "blocks": blocks.blocks})
}

/// Says as many alerts as there is room for; how many those are.
fn alerts(words: &Words, rendering: &mut Rendering<'_>, blocks: &mut Blocks) -> usize {
    for index in 0..words.alerts.len() {
        let text = mrkdwn(&rendering.alert("alert", index), SECTION_MAX);
        let is_full = blocks.blocks.len() + BLOCKS_BEHIND >= BLOCKS_MAX
            || units(&text) + BEHIND_MAX > blocks.room;
        if is_full {
            return index;
        }
        if !text.is_empty() {
            blocks.section(&text);
        }
    }
    words.alerts.len()
}

/// Characters as Slack counts them: one outside the basic plane is two.
pub(crate) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The longest start of `text` of so many units.
fn start(text: &str, max: usize) -> String {
    let mut room = max;
    text.chars()
        .take_while(|c| {
            let fits = c.len_utf16() <= room;
            room = room.saturating_sub(c.len_utf16());
            fits
        })
        .collect()
}

/// A header: one line.
fn plain(text: &str, max: usize) -> String {
    let text = crate::bounds::line(text, usize::MAX / 4);
    if units(&text) <= max {
        return text;
    }
    start(&text, max - 1) + "…"
}

/// A text with marks, cut where no entity and no link is torn; how much was left out is said.
fn mrkdwn(text: &str, max: usize) -> String {
    let total = units(text);
    if total <= max {
        return text.to_owned();
    }
    let note = |left_out: usize| format!("… ({left_out} characters left out)");
    let mut kept = start(text, max.saturating_sub(units(&note(total))));
    for (opens, closes) in [('<', '>'), ('&', ';')] {
        if let Some(open) = kept.rfind(opens)
            && kept.rfind(closes).is_none_or(|close| close < open)
        {
            kept.truncate(open);
        }
    }
    let left_out = total - units(&kept);
    kept + &note(left_out)
}
