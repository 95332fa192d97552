//! What goes to standard output and standard error, and tables.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{CellAlignment, Table};

/// What stands in a table where there is nothing to say.
pub(crate) const NOTHING: &str = "-";

/// Writes to standard output. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes a line to standard error. When even that fails, there is nowhere to say so.
pub(crate) fn note(text: &str) {
    let written = writeln!(io::stderr().lock(), "{text}");
    drop(written);
}

/// Whether a person reads standard output directly.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The text, or a dash where there is nothing to say: missing is not zero.
pub(crate) fn or_nothing(text: Option<String>) -> String {
    text.unwrap_or_else(|| NOTHING.to_owned())
}

/// An empty table. A heading that begins with `>` is for a column of numbers.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    // Tables are the same whoever reads them; colours are for `top`.
    table.force_no_tty();
    table.set_header(
        headings
            .iter()
            .map(|heading| heading.trim_start_matches('>')),
    );
    for (index, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// The lines of a table, each ended.
pub(crate) fn table_text(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_have_no_trailing_space() {
        let mut table = table(&["NAME", ">COUNT", "NOTE"]);
        table.add_row(["a", "1", ""]);
        table.add_row(["longer", "1000", "x"]);
        expect_test::expect![[r"
            NAME    COUNT  NOTE
            a           1
            longer   1000  x
        "]]
        .assert_eq(&table_text(&table));
    }
}
