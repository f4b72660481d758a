//! `SurgeMail`'s ini syntax.
//!
//! ```text
//! # a comment
//! g_name "value"                     one value; a repeated name makes a list
//! g_name key="value" key="value"     a structured value
//! vdomain name="example.com"         everything behind it belongs to this domain
//! ```
//! Inside quotes `\"` is a quote and `\\` a backslash. A value without quotes ends at white space.

/// The largest file, in bytes.
pub const FILE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// The longest line, in bytes.
pub const LINE_MAX_BYTES: usize = 64 * 1024;
/// The most lines that say something.
pub const ENTRIES_MAX: usize = 100_000;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands, from 1.
    pub line: usize,
    /// `g_…` as written.
    pub name: String,
    /// What it says.
    pub value: Value,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `name "value"`
    Plain(String),
    /// `name key="value" …`, in order.
    Fields(Vec<(String, String)>),
}

/// A domain and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Where it begins, from 1.
    pub line: usize,
    /// The fields of the `vdomain` line.
    pub fields: Vec<(String, String)>,
    /// What stands behind it.
    pub entries: Vec<Entry>,
}

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ini {
    /// Lines before the first `vdomain`.
    pub global: Vec<Entry>,
    /// The domains.
    pub domains: Vec<Section>,
}

/// A line that cannot be read, or a value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read line {line} of the settings: {why}")]
pub struct LineError {
    /// From 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub why: String,
}

/// Reads a file.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<Ini, LineError> {
    if text.len() > FILE_MAX_BYTES {
        return Err(LineError { line: 1, why: format!("the file is longer than {FILE_MAX_BYTES} bytes") });
    }
    let mut ini = Ini::default();
    let mut entries = 0;
    for (index, text) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = index + 1;
        let error = |why: String| LineError { line, why };
        if text.len() > LINE_MAX_BYTES {
            return Err(error(format!("the line is longer than {LINE_MAX_BYTES} bytes")));
        }
        let Some((name, value)) = parse_line(text).map_err(error)? else { continue };
        entries += 1;
        if entries > ENTRIES_MAX {
            return Err(error(format!("there are more than {ENTRIES_MAX} settings")));
        }
        if name.eq_ignore_ascii_case("vdomain") {
            let Value::Fields(fields) = value else {
                return Err(error("write vdomain name=\"example.com\"".to_owned()));
            };
            ini.domains.push(Section { line, fields, entries: Vec::new() });
        } else {
            let entry = Entry { line, name: name.to_owned(), value };
            ini.domains.last_mut().map_or(&mut ini.global, |section| &mut section.entries).push(entry);
        }
    }
    Ok(ini)
}

fn parse_line(text: &str) -> Result<Option<(&str, Value)>, String> {
    let text = text.trim();
    if text.is_empty() || text.starts_with(['#', ';']) {
        return Ok(None);
    }
    let (name, rest) = word(text).ok_or("a setting begins with its name, such as g_mirror_mode")?;
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Err(format!("{name} has no value: write {name} \"value\""));
    }
    if let Some((key, after)) = word(rest)
        && after.starts_with('=')
    {
        return fields(key, after).map(|fields| Some((name, Value::Fields(fields))));
    }
    let (value, rest) = value(rest)?;
    end(rest)?;
    Ok(Some((name, Value::Plain(value))))
}

fn fields(first: &str, mut rest: &str) -> Result<Vec<(String, String)>, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut key = first;
    loop {
        let after = rest.strip_prefix('=').ok_or_else(|| format!("write {key}=\"value\""))?;
        let (read, after) = value(after)?;
        if found.iter().any(|(known, _)| known == key) {
            return Err(format!("{key} is given twice"));
        }
        found.push((key.to_owned(), read));
        let after = after.trim_start();
        if after.is_empty() || after.starts_with('#') {
            return Ok(found);
        }
        (key, rest) = word(after).ok_or_else(|| format!("{after:?} is no key=\"value\""))?;
    }
}

/// A name or key, and what stands behind it.
fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn value(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (bare, rest) = text.split_at(end);
        return if bare.is_empty() || bare.contains('"') {
            Err(format!("{bare:?} is no value: put it in quotes"))
        } else {
            Ok((bare.to_owned(), rest))
        };
    };
    let mut read = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((read, &quoted[at + 1..])),
            '\\' => match chars.clone().next() {
                Some((_, escaped @ ('"' | '\\'))) => {
                    read.push(escaped);
                    chars.next();
                }
                _ => read.push('\\'),
            },
            c => read.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

fn end(rest: &str) -> Result<(), String> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err(format!("{rest:?} stands behind the value: put the whole value in one pair of quotes"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn plain(line: usize, name: &str, value: &str) -> Entry {
        Entry { line, name: name.to_owned(), value: Value::Plain(value.to_owned()) }
    }

    #[test]
    fn lines_lists_fields_and_domains_are_read() {
        let text = "# comment\n\ng_mirror_mode \"master\"\r\ng_domain a.example # more\ng_domain \"b \\\"q\\\" \\\\ \\x\"\n\
                    g_route to=\"x\" via=\"y z\"\nvdomain name=\"example.com\"\nquota \"10M\"\nVDOMAIN name=e2.example\n";
        let ini = parse(text).unwrap();
        assert_eq!(ini.global[0], plain(3, "g_mirror_mode", "master"));
        assert_eq!(ini.global[1], plain(4, "g_domain", "a.example"));
        assert_eq!(ini.global[2], plain(5, "g_domain", "b \"q\" \\ \\x"));
        let fields = vec![("to".to_owned(), "x".to_owned()), ("via".to_owned(), "y z".to_owned())];
        assert_eq!(ini.global[3].value, Value::Fields(fields));
        assert_eq!(ini.domains.len(), 2);
        assert_eq!(ini.domains[0].entries, [plain(8, "quota", "10M")]);
    }

    #[test]
    fn an_error_has_its_line_and_says_what_to_do() {
        for (text, line, why) in [
            ("g_a \"x\"\ng_b", 2, "no value"),
            ("g_a \"x", 1, "not closed"),
            ("g_a x y", 1, "one pair of quotes"),
            ("\n\n=x", 3, "begins with its name"),
            ("g_a k=\"1\" k=\"2\"", 1, "twice"),
            ("g_a k=\"1\" k2", 1, "write k2="),
            ("vdomain \"example.com\"", 1, "vdomain name="),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}");
            assert!(error.why.contains(why), "{text:?}: {error}");
        }
        assert!(parse(&"x".repeat(LINE_MAX_BYTES + 1)).unwrap_err().why.contains("longer"));
        assert!(parse(&"#\n".repeat(FILE_MAX_BYTES)).unwrap_err().why.contains("longer"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_quoted_value_comes_back(value in "[^\\r\\n\\u{85}\\u{2028}]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let ini = parse(&format!("g_x \"{quoted}\"")).unwrap();
            prop_assert_eq!(&ini.global[0].value, &Value::Plain(value));
        }
    }
}
