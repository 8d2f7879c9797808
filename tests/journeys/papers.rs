//! The papers are true, as far as a program can tell.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::harness::{Process, root};

/// What stands between backquotes and looks like a path of this repository.
fn paths(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|it| {
            it.contains('/') && !it.contains([' ', '<', '{', '*', ':', '|', '=', '$', ','])
        })
        .filter(|it| !it.starts_with(['/', '.', '~', '-', '@']) && !it.starts_with("data/"))
        .collect()
}

#[test]
fn every_path_in_the_papers_exists() {
    let mut seen = 0;
    for paper in ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = fs::read_to_string(root().join(paper)).unwrap();
        for path in paths(&text) {
            seen += 1;
            assert!(root().join(path).exists(), "{paper} names {path}, which is not there");
        }
    }
    assert!(seen > 30, "only {seen} paths were found: does the test still read the papers?");
}

#[test]
fn every_folder_with_code_is_in_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for parent in ["services", "observability"] {
        for entry in fs::read_dir(root().join(parent)).unwrap() {
            let name = format!("{parent}/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(map.contains(&name), "ARCHITECTURE.md does not tell what {name} is");
        }
    }
}

#[test]
fn links_between_the_papers_lead_somewhere() {
    let inside = ["docs", "docs/adr", "docs/tutorials"].into_iter().flat_map(|folder| {
        let files = fs::read_dir(root().join(folder)).unwrap();
        files.map(move |it| format!("{folder}/{}", it.unwrap().file_name().to_string_lossy()))
    });
    let inside = inside.filter(|it| it.ends_with(".md"));
    let papers = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    for paper in papers.map(str::to_owned).into_iter().chain(inside) {
        let file = root().join(&paper);
        let text = fs::read_to_string(&file).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !link.is_empty() && !link.contains("://") {
                assert!(file.parent().unwrap().join(link).exists(), "{paper} links to {link}");
            }
        }
    }
}

/// As ARCHITECTURE.md says; and what is no constant has no way to a database but `AssertSqlSafe`, which is for the databases of tests.
#[test]
fn no_text_of_sql_is_built_at_run_time() {
    let mut seen = 0;
    for file in
        ["platform", "services", "observability"].iter().flat_map(|it| sources(&root().join(it)))
    {
        let text = fs::read_to_string(&file).unwrap();
        let program = text.split("#[cfg(test)]").next().unwrap();
        let for_tests = file.ends_with("storage/testing.rs");
        assert!(for_tests || !program.contains("AssertSqlSafe"), "{}", file.display());
        assert_eq!(built_sql(program), None, "{}", file.display());
        seen += 1;
    }
    assert!(seen > 100, "only {seen} files were found: does the test still read the program?");
    for built in [
        "format!(\"SELECT * FROM musics WHERE title = '{title}'\")",
        "write!(text, \"ORDER BY {column}\")",
        "text.push_str(\" WHERE owner = \")",
    ] {
        assert!(built_sql(built).is_some(), "{built}");
    }
}

/// The Rust files below, without those of tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    let program = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.ends_with(".rs") && !path.ends_with("tests.rs") && !path.contains("/tests/")
    };
    files.filter(program).collect()
}

/// The first text with words of SQL that is made of others.
fn built_sql(program: &str) -> Option<&str> {
    const MAKERS: [&str; 5] = ["format!(", "format_args!(", "write!(", "writeln!(", "push_str("];
    const WORDS: [&str; 7] =
        ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "WHERE ", "ORDER BY ", "VALUES "];
    let made = MAKERS.iter().flat_map(|maker| program.split(maker).skip(1));
    let literals = made.filter_map(|rest| rest.split(';').next()?.split('"').nth(1));
    literals.into_iter().find(|literal| WORDS.iter().any(|word| literal.contains(word)))
}

#[test]
fn every_setting_is_in_the_readme_with_its_default() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (code, shown, stderr) = Process::launch(&["config"], directory.path(), &[]).end();
    assert_eq!(code, Some(0), "{stderr}");
    for line in shown.lines() {
        let mut words = line.split_whitespace();
        let (variable, source, value) =
            (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let row = readme.lines().find(|row| row.starts_with(&format!("| `{variable}` |")));
        let row = row.unwrap_or_else(|| panic!("README.md does not list {variable}"));
        // The harness sets every address to a free port; their defaults are not to be seen here.
        if source == "default" && value != "-" {
            assert!(row.contains(&format!("`{value}`")), "{variable} is {value} by default: {row}");
        }
    }
}

#[test]
fn the_help_says_how_to_begin() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        (vec!["-h"], vec!["serve", "import", "Examples:", "Exit codes:"]),
        (vec!["--help"], vec!["--catalog-listen", "[default: 127.0.0.1:9102]", "./data"]),
        (vec!["serve", "catalog", "--help"], vec!["--catalog-database", "--rust-log"]),
        (vec!["health", "-h"], vec!["TARGET", "catalog", "exits with 0"]),
        (vec!["import", "--help"], vec!["--musics", "MUSICWALLET_TOKEN"]),
    ] {
        let (code, shown, _) = Process::launch(&arguments, directory.path(), &[]).end();
        assert_eq!(code, Some(0));
        for part in told {
            assert!(shown.contains(part), "{arguments:?}: {part} is missing in\n{shown}");
        }
    }
    let (code, shown, _) = Process::launch(&["completions", "bash"], directory.path(), &[]).end();
    assert!(code == Some(0) && shown.contains("_musicwallet"));
}
