//! The parts of a page: text that came from anywhere, tables, numbers. What is made here is XML as well as HTML.

use std::fmt::Write;

/// A page under construction.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// Text inside an element. Characters that no XML may have become a replacement character.
    pub(crate) fn element(&mut self, name: &str, text: &str) {
        _ = writeln!(self.0, "<{name}>{}</{name}>", escaped(text));
    }

    /// A plot.
    pub(crate) fn figure(&mut self, svg: &str, caption: &str) {
        _ = writeln!(self.0, "<figure>\n{svg}<figcaption>{}</figcaption>\n</figure>", escaped(caption));
    }

    /// A table, whose first column holds names and the others numbers.
    pub(crate) fn table<R: AsRef<[String]>>(&mut self, columns: &[&str], rows: impl IntoIterator<Item = R>) {
        self.0 += "<div class=\"wide\"><table>\n<thead><tr>";
        columns.iter().for_each(|column| _ = write!(self.0, "<th>{}</th>", escaped(column)));
        self.0 += "</tr></thead>\n<tbody>\n";
        for row in rows {
            self.0 += "<tr>";
            row.as_ref().iter().for_each(|cell| _ = write!(self.0, "<td>{}</td>", escaped(cell)));
            self.0 += "</tr>\n";
        }
        self.0 += "</tbody>\n</table></div>\n";
    }

    /// The whole page.
    pub(crate) fn document(self, title: &str, style: &str) -> String {
        let (title, body) = (escaped(title), self.0);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
        )
    }
}

/// Text that means itself, wherever it stands.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// `12.3 %`, or a dash.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(none, |share| format!("{:.1} %", 100.0 * share))
}

/// A number of so many decimals, or a dash.
pub(crate) fn decimal(number: Option<f64>, decimals: usize) -> String {
    number.map_or_else(none, |number| format!("{number:.decimals$}"))
}

/// A whole number, or a dash.
pub(crate) fn whole(number: Option<u64>) -> String {
    number.map_or_else(none, |number| number.to_string())
}

fn none() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_markup() {
        assert_eq!(escaped("<script>\"a\" & 'b'</script>"), "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;");
        assert_eq!(escaped("a\u{0}b\u{1b}c\u{ffff}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
    }
}
