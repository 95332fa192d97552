//! The contract in `proto/`: commented, in its place, and never broken.
//!
//! Every field, enum value and call that ever landed is recorded in
//! `tests/golden/proto/vedette.v1.txt`. A recorded number may not change its name or type, and may
//! only go when it is reserved; agents and coordinators of different ages talk to each other.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// What is not said, or said in the wrong place: a package that is not its path, a call or message
/// without a comment, an enum without a zero that means nothing.
///
/// A message that is only the request or the response of a call is explained by the call.
#[must_use]
pub fn said(set: &FileDescriptorSet) -> Vec<String> {
    let mut faults = Vec::new();
    let carried: BTreeSet<&str> = set
        .file
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
        .flat_map(|method| [method.input_type(), method.output_type()])
        .filter_map(|name| name.rsplit('.').next())
        .collect();
    for file in &set.file {
        let folder = file
            .name()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        if folder.replace('/', ".") != file.package() {
            faults.push(format!(
                "{}: the package {} is not the path",
                file.name(),
                file.package()
            ));
        }
        let comments = comments(file);
        let mut need = |what: &str, name: &str, path: &[i32]| {
            if !comments.contains(path) {
                faults.push(format!("{}: {what} {name} has no comment", file.name()));
            }
        };
        for (at, message) in (0..).zip(&file.message_type) {
            let name = message.name();
            if !carried.contains(name) {
                need("message", name, &[4, at]);
            }
        }
        for (at, service) in (0..).zip(&file.service) {
            for (of, method) in (0..).zip(&service.method) {
                need("rpc", method.name(), &[6, at, 2, of]);
            }
        }
        for list in &file.enum_type {
            let zero = list.value.first();
            if !zero.is_some_and(|v| v.number() == 0 && v.name().ends_with("_UNSPECIFIED")) {
                let name = list.name();
                faults.push(format!(
                    "{}: enum {name} must start at …_UNSPECIFIED = 0",
                    file.name()
                ));
            }
        }
    }
    faults
}

/// Places (as protobuf numbers them) that have a comment.
fn comments(file: &FileDescriptorProto) -> BTreeSet<Vec<i32>> {
    file.source_code_info
        .iter()
        .flat_map(|info| &info.location)
        .filter(|location| !location.leading_comments().trim().is_empty())
        .map(|location| location.path.clone())
        .collect()
}

/// Everything that is fixed once it landed, one line each: `<key> = <meaning>`.
#[must_use]
pub fn record(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            record_message(
                &format!("{package}.{}", message.name()),
                message,
                &mut lines,
            );
        }
        for list in &file.enum_type {
            for value in &list.value {
                let key = format!("{package}.{} {}", list.name(), value.number());
                lines.insert(key, value.name().to_owned());
            }
        }
        for service in &file.service {
            for method in &service.method {
                let stream = |on: bool| if on { "stream " } else { "" };
                let input = method.input_type().trim_start_matches('.');
                let output = method.output_type().trim_start_matches('.');
                lines.insert(
                    format!("{package}.{} {}", service.name(), method.name()),
                    format!(
                        "{}{input} -> {}{output}",
                        stream(method.client_streaming()),
                        stream(method.server_streaming())
                    ),
                );
            }
        }
    }
    lines
}

fn record_message(name: &str, message: &DescriptorProto, lines: &mut BTreeMap<String, String>) {
    for field in &message.field {
        let of = match field.r#type() {
            Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
            scalar => scalar
                .as_str_name()
                .trim_start_matches("TYPE_")
                .to_lowercase(),
        };
        let repeated = if field.label() == Label::Repeated {
            "repeated "
        } else {
            ""
        };
        lines.insert(
            format!("{name} {}", field.number()),
            format!("{} {repeated}{of}", field.name()),
        );
    }
    for reserved in &message.reserved_range {
        for number in reserved.start()..reserved.end().min(reserved.start() + 1000) {
            lines.insert(format!("{name} {number}"), "reserved".to_owned());
        }
    }
    for nested in &message.nested_type {
        record_message(&format!("{name}.{}", nested.name()), nested, lines);
    }
}

/// Reads the record as it is kept in the repository.
#[must_use]
pub fn read(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, meaning)| (key.to_owned(), meaning.to_owned()))
        .collect()
}

/// Writes the record as it is kept in the repository.
#[must_use]
pub fn write(record: &BTreeMap<String, String>) -> String {
    let mut text = "# Every number and call of proto/ that ever landed, and what it means.\n\
        # Add lines with VEDETTE_BLESS=1 cargo test -p tidy; a line that is here does not change.\n"
        .to_owned();
    for (key, meaning) in record {
        text.push_str(&format!("{key} = {meaning}\n"));
    }
    text
}

/// What landed and means something else now, or is gone and not reserved.
#[must_use]
pub fn broken(landed: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, before) in landed {
        match now.get(key).map(String::as_str) {
            Some(after) if after == before || after == "reserved" => {}
            Some(after) => faults.push(format!("{key} was `{before}` and is now `{after}`")),
            None => faults.push(format!(
                "{key} was `{before}` and is gone; reserve its number"
            )),
        }
    }
    faults
}

/// The record with what is new, or nothing when there is nothing new.
#[must_use]
pub fn grown(
    landed: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    let mut all = landed.clone();
    for (key, meaning) in now {
        all.entry(key.clone()).or_insert_with(|| meaning.clone());
    }
    // A number that is reserved now stays reserved.
    for (key, meaning) in now.iter().filter(|(_, meaning)| *meaning == "reserved") {
        all.insert(key.clone(), meaning.clone());
    }
    (all != *landed).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(text: &str) -> FileDescriptorSet {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proto/vedette/v1")).unwrap();
        let text = format!("syntax = \"proto3\";\npackage vedette.v1;\n{text}");
        std::fs::write(root.path().join("proto/vedette/v1/a.proto"), text).unwrap();
        crate::compile(root.path()).unwrap()
    }

    fn recorded(text: &str) -> BTreeMap<String, String> {
        record(&compiled(text))
    }

    #[test]
    fn a_call_or_message_without_a_comment_is_named() {
        let set = compiled(
            "service S {\n  // Asks.\n  rpc Ask(Q) returns (A);\n  rpc Tell(Q) returns (A);\n}\n\
             message Q {}\nmessage A {}\n// A part.\nmessage B {}\n\nmessage C {}\n",
        );
        assert_eq!(
            said(&set),
            [
                "vedette/v1/a.proto: message C has no comment",
                "vedette/v1/a.proto: rpc Tell has no comment"
            ]
        );
        assert_eq!(said(&compiled("// Pairs.\nmessage LabelSet {}")), [""; 0]);
    }

    #[test]
    fn a_package_that_is_not_the_path_and_an_enum_without_zero_are_named() {
        let mut set = compiled("enum E { E_OTHER = 0; }");
        assert_eq!(
            said(&set),
            ["vedette/v1/a.proto: enum E must start at …_UNSPECIFIED = 0"]
        );
        set.file[0].enum_type.clear();
        set.file[0].package = Some("vedette.v2".to_owned());
        assert_eq!(
            said(&set),
            ["vedette/v1/a.proto: the package vedette.v2 is not the path"]
        );
    }

    #[test]
    fn a_number_that_changes_its_meaning_is_named() {
        let landed = recorded("message M { string a = 1; uint64 b = 2; }");
        let now = recorded("message M { string other = 1; repeated uint64 b = 2; }");
        assert_eq!(
            broken(&landed, &now),
            [
                "vedette.v1.M 1 was `a string` and is now `other string`",
                "vedette.v1.M 2 was `b uint64` and is now `b repeated uint64`"
            ]
        );
    }

    #[test]
    fn a_number_may_go_only_when_it_is_reserved() {
        let landed = recorded("message M { string a = 1; uint64 b = 2; }");
        let now = recorded("message M { reserved 2; }");
        assert_eq!(
            broken(&landed, &now),
            ["vedette.v1.M 1 was `a string` and is gone; reserve its number"]
        );
        let again = recorded("message M { string a = 1; uint64 c = 2; }");
        let all = grown(
            &landed,
            &recorded("message M { string a = 1; reserved 2; }"),
        )
        .unwrap();
        assert_eq!(
            broken(&all, &again),
            ["vedette.v1.M 2 was `reserved` and is now `c uint64`"]
        );
    }

    #[test]
    fn a_call_or_enum_value_that_changes_is_named() {
        let landed = recorded(
            "enum E { E_UNSPECIFIED = 0; E_A = 1; }\nmessage M {}\n\
             service S { rpc Call(stream M) returns (M); }",
        );
        let now = recorded(
            "enum E { E_UNSPECIFIED = 0; E_B = 1; }\nmessage M {}\n\
             service S { rpc Call(M) returns (M); }",
        );
        assert_eq!(
            broken(&landed, &now),
            [
                "vedette.v1.E 1 was `E_A` and is now `E_B`",
                "vedette.v1.S Call was `stream vedette.v1.M -> vedette.v1.M` and is now \
                 `vedette.v1.M -> vedette.v1.M`"
            ]
        );
    }

    #[test]
    fn what_is_new_is_added_and_the_record_comes_back_as_it_was_written() {
        let landed = recorded("message M { string a = 1; }");
        let now = recorded("message M { string a = 1; map<string, uint32> b = 2; }");
        assert_eq!(broken(&landed, &now), Vec::<String>::new());
        let all = grown(&landed, &now).unwrap();
        assert_eq!(read(&write(&all)), all);
        assert_eq!(all["vedette.v1.M 2"], "b repeated vedette.v1.M.BEntry");
        assert_eq!(grown(&all, &now), None);
    }
}
