//! What differs between two configurations.

use serde_json::Value;

use super::Config;

impl Config {
    /// The keys whose values are other than in `before`, as `section.key`, in order. Only the keys: what is set
    /// may be for few eyes.
    #[must_use]
    pub fn keys_changed_since(&self, before: &Self) -> Vec<String> {
        // All keys are texts and no number is NaN, so that neither fails.
        let value = |config| serde_json::to_value(config).unwrap_or_default();
        let mut keys = Vec::new();
        compare("", Some(&value(before)), Some(&value(self)), &mut keys);
        keys
    }
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, keys: &mut Vec<String>) {
    if before == after {
        return;
    }
    let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) else {
        keys.push(path.to_owned());
        return;
    };
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        compare(&path, old.get(name), new.get(name), keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_however_deep_they_lie() {
        let before = Config::default();
        let mut after = before.clone();
        assert!(after.keys_changed_since(&before).is_empty());
        after.ingest.samples_per_second_max += 1;
        after.log.filter = "debug".to_owned();
        after.receivers =
            serde_json::from_value(serde_json::json!({ "oncall": ["email:a@b.example"] })).unwrap();
        assert_eq!(
            after.keys_changed_since(&before),
            [
                "ingest.samples_per_second_max",
                "log.filter",
                "receivers.oncall"
            ]
        );
        assert_eq!(
            before.keys_changed_since(&after),
            after.keys_changed_since(&before)
        );
    }
}
