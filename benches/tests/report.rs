//! The `show` command: the table of kept documents to the letter, and files that are none.

use crate::common::Place;

/// Set to write the tables anew after a change on purpose: look at the difference before it is committed.
const UPDATE: &str = "AQUIFER_TEST_UPDATE";

#[test]
fn tables_of_kept_documents_stay_as_they_are() {
    let place = Place::new();
    for name in ["run", "compare"] {
        let document = format!("tests/data/{name}-schema-1.json");
        let shown = place.run(&["show", &document]).good();
        assert!(shown.stderr.is_empty(), "{}", shown.stderr);
        let kept = format!("tests/data/{name}-schema-1.txt");
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&kept, &shown.stdout).unwrap();
        }
        let expected = std::fs::read_to_string(&kept).unwrap();
        assert_eq!(shown.stdout, expected, "{UPDATE}=1 writes {kept} anew");
    }
}

#[test]
fn the_first_lines_say_where_and_how_quietly_it_was_measured() {
    let place = Place::new();
    let shown = place.run(&["show", "tests/data/run-schema-1.json"]).good().stdout;
    let names: Vec<&str> = shown.lines().take(6).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["machine", "kernel", "device", "versions", "noise", "command"]);
}

#[test]
fn a_partial_result_says_so_first() {
    let place = Place::new();
    let text = std::fs::read_to_string("tests/data/run-schema-1.json").unwrap();
    let text = text.replace("\"partial\": false", "\"partial\": true");
    let text = text.replace("\"partial_reason\": null", "\"partial_reason\": \"interrupted\"");
    let (document, page) = (place.path("partial.json"), place.path("partial.html"));
    std::fs::write(&document, text).unwrap();
    let shown = place.run(&["show", document.to_str().unwrap(), "--html", page.to_str().unwrap()]).good();
    assert!(
        shown.stdout.contains("PARTIAL   interrupted; what is shown was measured in full"),
        "{}",
        shown.stdout
    );
    assert!(std::fs::read_to_string(page).unwrap().contains("PARTIAL"));
}

/// Names come from outside: a terminal must not obey them.
#[test]
fn control_characters_are_not_printed() {
    let place = Place::new();
    let text = std::fs::read_to_string("tests/data/run-schema-1.json").unwrap();
    let document = place.path("hostile.json");
    std::fs::write(&document, text.replace("fillrandom", "fill\\u001b[2Jrandom\\r\\u0007")).unwrap();
    let shown = place.run(&["show", document.to_str().unwrap()]).good().stdout;
    assert!(shown.contains("fill\u{fffd}[2Jrandom"), "{shown}");
    assert!(!shown.chars().any(|character| character.is_control() && character != '\n'));
}

#[test]
fn files_that_are_no_results_are_refused_in_one_clear_line() {
    let place = Place::new();
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (path, text) in [
        (place.path("absent").to_str().unwrap().to_owned(), "No such file"),
        (place.path("tmp").to_str().unwrap().to_owned(), "Is a directory"),
        (file("empty", b""), "it is not a result of this tool"),
        (file("bytes", &[0, 159, 146, 150]), "it is not a result of this tool"),
        (file("other", br#"{"schema": 1, "command": "device"}"#), "has no schema \"aquifer-bench/1\""),
        (
            file("later", br#"{"schema": "aquifer-bench/9"}"#),
            "use the version of aquifer-bench that wrote it",
        ),
    ] {
        let ended = place.run(&["show", &path]).failed(3, text);
        assert!(ended.stderr.lines().count() == 1 && ended.stderr.contains(&path), "{}", ended.stderr);
    }
    let page = place.path("absent/page.html");
    let refused = place.run(&["show", "tests/data/run-schema-1.json", "--html", page.to_str().unwrap()]);
    refused.failed(3, "cannot write");
}
