//! Dashboards as they are in the repository, and what they ask.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A dashboard.
pub(crate) struct Board {
    /// Its file's name without the ending.
    pub(crate) name: String,
    /// All of it.
    pub(crate) json: Value,
}

/// One query of a panel.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Dashboard, panel and letter, for a message.
    pub(crate) at: String,
    /// As the dashboard has it.
    pub(crate) expression: String,
    /// At one time and not over a range.
    pub(crate) instant: bool,
    /// How its series are called.
    pub(crate) legend: String,
}

/// One variable that is filled by a query.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: String,
    /// `label_values(…)`.
    pub(crate) query: String,
}

/// The folder of all that is for Grafana.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana")
}

/// Every dashboard, in order of name.
pub(crate) fn boards() -> Vec<Board> {
    let mut boards = Vec::new();
    for entry in std::fs::read_dir(folder().join("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let json = serde_json::from_str(&text);
        boards.push(Board {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            json: json.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        });
    }
    boards.sort_by(|a, b| a.name.cmp(&b.name));
    boards
}

/// The text of a key; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The elements of a list; none when it is no list.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

impl Board {
    /// Rows, panels, and the panels in folded rows.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Value> {
        let all = list(&self.json, "panels");
        all.flat_map(|element| std::iter::once(element).chain(list(element, "panels")))
    }

    /// What shows data.
    pub(crate) fn panels(&self) -> impl Iterator<Item = &Value> {
        self.elements()
            .filter(|element| text(element, "type") != "row")
    }

    /// Everything that its panels ask.
    pub(crate) fn questions(&self) -> Vec<Question> {
        let of_panel = |panel: &Value| -> Vec<Question> {
            let title = text(panel, "title").to_owned();
            let question = |target: &Value| Question {
                at: format!("{}: {title}: {}", self.name, text(target, "refId")),
                expression: text(target, "expr").to_owned(),
                instant: target["instant"] == true,
                legend: text(target, "legendFormat").to_owned(),
            };
            list(panel, "targets").map(question).collect()
        };
        self.panels().flat_map(of_panel).collect()
    }

    /// Its variables that are filled by queries.
    pub(crate) fn variables(&self) -> Vec<Variable> {
        let all = list(&self.json["templating"], "list");
        all.filter(|variable| text(variable, "type") == "query")
            .map(|variable| Variable {
                name: text(variable, "name").to_owned(),
                query: text(&variable["query"], "query").to_owned(),
            })
            .collect()
    }
}
