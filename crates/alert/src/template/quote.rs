//! Texts quoted and escaped as Go does.

/// `strconv.Quote`
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        let code = u32::from(char);
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            _ if code < 0x80 && char.is_control() => out.push_str(&format!("\\x{code:02x}")),
            _ if !is_printed(char) && code < 0x10000 => out.push_str(&format!("\\u{code:04x}")),
            _ if !is_printed(char) => out.push_str(&format!("\\U{code:08x}")),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

fn is_printed(char: char) -> bool {
    // Rust escapes what is not printed, as Go does.
    !char.escape_debug().to_string().starts_with("\\u")
}

/// Maps each character where the other case is one character too, as Go does: not `ß`.
fn mapped<I: Iterator<Item = char>>(text: &str, map: fn(char) -> I) -> String {
    text.chars()
        .map(|char| {
            let mut other = map(char);
            match (other.next(), other.next()) {
                (Some(one), None) => one,
                _ => char,
            }
        })
        .collect()
}

/// `strings.ToUpper`
pub(super) fn upper(text: &str) -> String {
    mapped(text, char::to_uppercase)
}

/// `strings.ToLower`
pub(super) fn lower(text: &str) -> String {
    mapped(text, char::to_lowercase)
}

/// `html`
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            char => out.push(char),
        }
    }
    out
}

/// `js`
pub(super) fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            char if char.is_control() => {
                out.push_str(&format!("\\u{:04X}", u32::from(char)));
            }
            char => out.push(char),
        }
    }
    out
}

/// `url.QueryEscape`
pub(super) fn url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `strings.Title`: each letter that begins a word in its title case.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for char in text.chars() {
        if begins {
            out.push_str(&upper(char.encode_utf8(&mut [0; 4])));
        } else {
            out.push(char);
        }
        let is_inside = if char.is_ascii() {
            char.is_ascii_alphanumeric() || char == '_'
        } else {
            char.is_alphanumeric() || !char.is_whitespace()
        };
        begins = !is_inside;
    }
    out
}

/// `net.SplitHostPort`: host and port, where it is both.
pub(super) fn host_port(text: &str) -> Option<(&str, &str)> {
    let (before, port) = text.rsplit_once(':')?;
    let host = match before.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?,
        None if before.contains(':') => return None,
        None => before,
    };
    let is_bracketed = |text: &str| text.contains(['[', ']']);
    (!is_bracketed(host) && !is_bracketed(port)).then_some((host, port))
}
