//! Go's comparisons in templates: of the same kind alone.

use std::cmp::Ordering;

use super::value::Value;

const INCOMPATIBLE: &str = "incompatible types for comparison";
const INVALID: &str = "invalid type for comparison";

/// Whether two values are equal.
fn is_equal(left: &Value, right: &Value) -> Result<bool, String> {
    Ok(match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => {
            left.partial_cmp(right) == Some(Ordering::Equal)
        }
        (Value::Text(left), Value::Text(right)) => left == right,
        _ if is_basic(left) && is_basic(right) => return Err(INCOMPATIBLE.to_owned()),
        (Value::Nil, _) | (_, Value::Nil) => false,
        _ => {
            let (shown, name) = (left.shown(), left.type_name());
            return Err(format!("non-comparable type {shown}: {name}"));
        }
    })
}

fn is_basic(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_)
    )
}

/// `eq`: whether the first is equal to one of the others.
pub(super) fn eq(args: &[Value]) -> Result<bool, String> {
    let [first, others @ ..] = args else {
        return Err("missing argument for comparison".to_owned());
    };
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if is_equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How two values are ordered; none where one is NaN.
fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    Ok(match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(_), Value::Bool(_)) => return Err(INVALID.to_owned()),
        _ if is_basic(left) && is_basic(right) => return Err(INCOMPATIBLE.to_owned()),
        _ => return Err(INVALID.to_owned()),
    })
}

/// `lt`, `le`, `gt` and `ge`.
pub(super) fn ordered(name: &str, left: &Value, right: &Value) -> Result<bool, String> {
    let order = order(left, right)?;
    // As in Go, `gt` is not `le` and `ge` is not `lt`, of NaN too.
    let is_less = order == Some(Ordering::Less);
    let is_at_most = is_less || order == Some(Ordering::Equal);
    Ok(match name {
        "lt" => is_less,
        "le" => is_at_most,
        "gt" => !is_at_most,
        _ => !is_less,
    })
}
