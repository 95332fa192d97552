//! Floats in JSON, which has no word for what is no number: `"NaN"`, `"+Inf"` and `"-Inf"` are texts.

use serde::{Deserialize, Deserializer, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Word(String),
}

pub(crate) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        to.serialize_f64(*value)
    } else if value.is_nan() {
        to.serialize_str("NaN")
    } else {
        to.serialize_str(if *value > 0.0 { "+Inf" } else { "-Inf" })
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    match Written::deserialize(from)? {
        Written::Number(value) => Ok(value),
        Written::Word(word) => word
            .parse()
            .map_err(|_no_float| serde::de::Error::custom(format!("{word:?} is no float"))),
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Held(#[serde(with = "super")] f64);

    #[test]
    fn every_float_is_read_back() {
        for value in [
            0.5,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
        ] {
            let text = serde_json::to_string(&Held(value)).unwrap();
            let read: Held = serde_json::from_str(&text).unwrap();
            assert!(series::same_bits(read.0, value), "{text}");
        }
        assert!(serde_json::from_str::<Held>("\"x\"").is_err());
    }
}
