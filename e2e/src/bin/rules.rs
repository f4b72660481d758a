//! Writes docs/rules.md: which promise and which rule of docs/MIRROR.md has which tests, by their names. With `--check`
//! it says whether the page is as it should be. A rule without a test has to stand in docs/rules-open.txt, with the
//! reason; parts of a rule that are not built may stand there beside its tests.

use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = "docs/rules.md";
const OPEN: &str = "docs/rules-open.txt";
const PROMISES: [&str; 4] = ["P1", "P2", "P3", "P4"];

fn main() -> Result<()> {
    let check = match std::env::args().nth(1).as_deref() {
        Some("--check") => true,
        Some("--write") => false,
        _ => bail!("give --write or --check"),
    };
    let root = root()?;
    let page = page(&root)?;
    let path = root.join(PAGE);
    if check {
        let found = std::fs::read_to_string(&path).with_context(|| format!("failed to read {PAGE}"))?;
        ensure!(found == page, "{PAGE} is not what the tests say: run `make generate`");
    } else {
        std::fs::write(&path, page).with_context(|| format!("failed to write {PAGE}"))?;
    }
    Ok(())
}

fn root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).context("the crate is in no workspace")
}

fn page(root: &Path) -> Result<String> {
    let rules = rules(&std::fs::read_to_string(root.join("docs/MIRROR.md")).context("failed to read docs/MIRROR.md")?);
    let open = open(&std::fs::read_to_string(root.join(OPEN)).with_context(|| format!("failed to read {OPEN}"))?)?;
    let tests = tests(root)?;
    let mut page = String::from(
        "# Rules and their tests\n\nWritten by `make generate` from the names of the tests; \
         [MIRROR.md](MIRROR.md) has the rules.\n\n| rule | tests |\n|---|---|\n",
    );
    let names: Vec<String> = PROMISES.iter().map(|name| (*name).to_owned()).chain(rules).collect();
    for rule in &names {
        match (tests.get(rule), open.get(rule)) {
            (Some(tests), None) => writeln!(page, "| {rule} | {} |", list(tests))?,
            (Some(tests), Some(reason)) => writeln!(page, "| {rule} | {}<br>*open: {reason}* |", list(tests))?,
            (None, Some(reason)) => writeln!(page, "| {rule} | *open: {reason}* |")?,
            (None, None) => bail!("rule {rule} has no test: name one `{}_…`, or say why not in {OPEN}", lower(rule)),
        }
    }
    if let Some(unknown) = open.keys().find(|rule| !names.contains(rule)) {
        bail!("{OPEN} names {unknown}, which is no rule");
    }
    page.push_str("\n## Cases of replication\n\n| case | tests |\n|---|---|\n");
    for (case, tests) in tests.iter().filter(|(name, _)| name.starts_with('C')) {
        writeln!(page, "| {} | {} |", lower(case), list(tests))?;
    }
    Ok(page)
}

fn lower(rule: &str) -> String {
    rule.to_ascii_lowercase()
}

fn list(tests: &BTreeSet<String>) -> String {
    tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join("<br>")
}

/// Rules stand at the beginning of a line of the protocol: ` L1 `, ` A10 `.
fn rules(protocol: &str) -> Vec<String> {
    let first_word = |line: &str| line.split_whitespace().next().filter(|word| is_rule(word)).map(str::to_owned);
    let mut rules: Vec<String> = Vec::new();
    for rule in protocol.lines().filter_map(first_word) {
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules
}

fn is_rule(word: &str) -> bool {
    let Some((letter, number)) = word.split_at_checked(1) else { return false };
    "LNAURS".contains(letter) && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

fn open(text: &str) -> Result<BTreeMap<String, String>> {
    let mut open = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let (rule, reason) = line.split_once(':').with_context(|| format!("{OPEN}: {line:?} has no reason"))?;
        open.insert(rule.trim().to_owned(), reason.trim().to_owned());
    }
    Ok(open)
}

/// Test functions whose names begin with rules or cases, by these.
fn tests(root: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let listed =
        Command::new("git").args(["ls-files", "*.rs"]).current_dir(root).output().context("failed to run git")?;
    ensure!(listed.status.success(), "failed to list the files of the repository");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in String::from_utf8(listed.stdout)?.lines() {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") {
                is_test |= line.contains("test");
            } else if let Some(name) = function(line) {
                if is_test {
                    for rule in name.split('_').map_while(rule_of) {
                        found.entry(rule).or_default().insert(format!("{file}: {name}"));
                    }
                }
                is_test = false;
            }
        }
    }
    Ok(found)
}

fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ").unwrap_or(line);
    let rest = rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()
}

/// `a10` is rule A10, `p1` promise P1, `c07` case C07; anything else ends the list.
fn rule_of(part: &str) -> Option<String> {
    let (letter, number) = part.split_at_checked(1)?;
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    ("lnaurspc".contains(letter) && is_number).then(|| part.to_ascii_uppercase())
}
