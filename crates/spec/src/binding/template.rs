//! Queries with places for a model and for the labels that tell parts apart.

/// Fills in a template. With a model, matchers of `$model` become equal to it and `$by` is no label at
/// all: a document about a model is about all of it. Without one those matchers go, and `$by` is `by`.
pub(super) fn fill(template: &str, model: Option<&str>, by: &[String]) -> String {
    let by = if model.is_some() {
        String::new()
    } else {
        by.join(", ")
    };
    let and_by = if by.is_empty() {
        String::new()
    } else {
        format!(", {by}")
    };
    let text = template.replace("$and_by", &and_by).replace("$by", &by);
    let text = text.replace("sum by () (", "sum(");
    let text = text
        .replace("max by () (", "max(")
        .replace("avg by () (", "avg(");
    let mut filled = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("\"$model\"") {
        let (before, after) = rest.split_at(at);
        let after = after.trim_start_matches("\"$model\"");
        match model {
            Some(model) => {
                filled.push_str(before.trim_end_matches(['=', '~']));
                filled.push('=');
                filled.push_str(&quoted(model));
                rest = after;
            }
            None => {
                filled.push_str(without_matcher(before));
                rest = after;
                if filled.ends_with('{') {
                    // It was the first matcher, perhaps the only one.
                    rest = rest.trim_start_matches([',', ' ']);
                    if let Some(behind) = rest.strip_prefix('}') {
                        filled.pop();
                        rest = behind;
                    }
                }
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// `text` without the `label=~` at its end and the comma before it.
fn without_matcher(text: &str) -> &str {
    text.trim_end_matches(['=', '~'])
        .trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || letter == '_')
        .trim_end_matches([',', ' '])
}

/// A string of PromQL.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_matched_and_no_model_leaves_no_trace() {
        let by = ["node".to_owned(), "instance".to_owned()];
        for (template, none, some) in [
            ("a{m=~\"$model\"}", "a", "a{m=\"x\"}"),
            ("a{m=\"$model\"}", "a", "a{m=\"x\"}"),
            (
                "a{b=\"c\",m=~\"$model\"}",
                "a{b=\"c\"}",
                "a{b=\"c\",m=\"x\"}",
            ),
            (
                "a{m=~\"$model\", b=\"c\"}",
                "a{b=\"c\"}",
                "a{m=\"x\", b=\"c\"}",
            ),
            (
                "sum by (le$and_by) (a{m=~\"$model\"})",
                "sum by (le, node, instance) (a)",
                "sum by (le) (a{m=\"x\"})",
            ),
            (
                "sum by ($by) (a) / b",
                "sum by (node, instance) (a) / b",
                "sum(a) / b",
            ),
        ] {
            assert_eq!(fill(template, None, &by), none);
            assert_eq!(fill(template, Some("x"), &by), some);
        }
        assert_eq!(
            fill("a{m=\"$model\"}", Some("x\"}\\"), &by),
            r#"a{m="x\"}\\"}"#
        );
    }
}
