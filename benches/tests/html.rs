//! The pages of `--html`, as Chromium sees them: light and dark, on a screen and on a phone.
//!
//! Without Chromium this says so and passes; `AQUIFER_TEST_CHROMIUM=1` makes that a failure. With
//! `AQUIFER_TEST_SCREENSHOTS=DIR` the pages are kept there as pictures.

use std::path::{Path, PathBuf};

use crate::chromium::{Browser, Tab};
use crate::common::Place;
use serde_json::Value;

/// Widths of a phone and of a screen.
const SIZES: [(u32, u32); 2] = [(360, 800), (1280, 900)];

/// What a page says of itself: its plots with their parts, what hangs over its right edge, and how it is coloured.
const LOOK: &str = r#"(() => {
    const width = document.documentElement.clientWidth;
    const boxed = element => element.closest('.scroll, title, desc, #tip') !== null;
    const over = [...document.querySelectorAll('body *')]
        .filter(element => !boxed(element) && element.getBoundingClientRect().right > width + 0.5)
        .map(element => element.tagName + '.' + element.getAttribute('class'));
    const charts = [...document.querySelectorAll('figure.chart')].map(figure => ({
        title: figure.querySelector('figcaption').textContent,
        name: figure.querySelector('svg > title').textContent,
        labels: [...figure.querySelectorAll('text.label')].map(label => label.textContent),
        ticks: figure.querySelectorAll('text.tick').length,
        drawn: [...figure.querySelectorAll('path.line, path.area')].filter(path => path.getTotalLength() > 20).length,
        cut: [...figure.querySelectorAll('svg[role] > text')].filter(text => {
            const [own, whole] = [text, figure.querySelector('svg[role]')].map(element => element.getBoundingClientRect());
            return own.left < whole.left || own.right > whole.right || own.top < whole.top || own.bottom > whole.bottom;
        }).map(text => text.textContent),
        width: figure.querySelector('svg').getBoundingClientRect().width,
        text: Math.min(...[...figure.querySelectorAll('svg > text')].map(text => text.getBoundingClientRect().height)),
    }));
    const colour = of => getComputedStyle(of).color.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
    return {
        width: width,
        scroll: document.documentElement.scrollWidth,
        over: over,
        charts: charts,
        bars: [...document.querySelectorAll('figure.bars')].map(figure => figure.querySelector('figcaption').textContent),
        first: document.querySelector('main').innerText.slice(0, 600),
        verdicts: [...document.querySelectorAll('.good-text, .bad-text')].map(cell => cell.textContent),
        text: colour(document.body),
    };
})()"#;

/// Makes the page of a kept document; its place.
fn page(place: &Place, name: &str) -> PathBuf {
    let (document, page) = (format!("tests/data/{name}-schema-1.json"), place.path(&format!("{name}.html")));
    place.run(&["show", &document, "--html", page.to_str().unwrap()]).good();
    page
}

/// Loads a page in every size and scheme; what it says of itself goes to the check.
fn in_every_way(place: &Place, name: &str, check: impl Fn(&Value)) {
    let page = page(place, name);
    let Some(mut browser) = Browser::start() else { return };
    for (width, height) in SIZES {
        for dark in [false, true] {
            let mut tab = browser.tab(width, height, dark);
            let loaded = tab.load(&page);
            let way = format!("{name}, {width} px, dark: {dark}");
            assert_eq!(loaded.complaints, Vec::<String>::new(), "{way}");
            let file = format!("file://{}", page.display());
            let asked: Vec<_> =
                loaded.requests.iter().filter(|url| **url != file && *url != "data:,").collect();
            assert!(asked.is_empty(), "{way}: {asked:?}");
            let look = tab.evaluate(LOOK);
            // A scroll bar may take a little of a screen's width.
            let found = look["width"].as_u64().unwrap();
            assert!((u64::from(width) - 20..=u64::from(width)).contains(&found), "{way}: {found}");
            assert_eq!((&look["scroll"], &look["over"]), (&look["width"], &serde_json::json!([])), "{way}");
            let brightness = look["text"].as_u64().unwrap();
            assert_eq!(brightness > 384, dark, "{way}: the text is as bright as {brightness}");
            check(&look);
            keep(&mut tab, &format!("{name}-{width}-{}", if dark { "dark" } else { "light" }));
        }
    }
}

fn keep(tab: &mut Tab<'_>, name: &str) {
    if let Ok(folder) = std::env::var("AQUIFER_TEST_SCREENSHOTS") {
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), tab.screenshot()).unwrap();
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Every chart is drawn, named, labelled and large enough to read.
fn readable(look: &Value) -> Vec<&str> {
    let charts = look["charts"].as_array().unwrap();
    for chart in charts {
        assert_eq!(chart["title"], chart["name"], "{chart}");
        assert_eq!(texts(&chart["labels"]).iter().filter(|label| !label.is_empty()).count(), 2, "{chart}");
        assert_eq!(texts(&chart["cut"]), Vec::<&str>::new(), "{chart}");
        assert!(chart["ticks"].as_u64().unwrap() >= 4 && chart["drawn"].as_u64().unwrap() >= 1, "{chart}");
        assert!(
            chart["width"].as_f64().unwrap() >= 300.0 && chart["text"].as_f64().unwrap() >= 9.0,
            "{chart}"
        );
    }
    charts.iter().map(|chart| chart["title"].as_str().unwrap()).collect()
}

#[test]
fn the_page_of_a_run_is_whole_in_light_and_dark_and_on_a_phone() {
    let place = Place::new();
    in_every_way(&place, "run", |look| {
        let charts = readable(look);
        for (title, count) in [
            ("Throughput over time", 4),
            ("p99 latency over time", 4),
            ("Latency by percentile", 4),
            ("Latency against throughput", 1),
            ("Where reads were answered from", 3),
        ] {
            assert_eq!(
                charts.iter().filter(|found| **found == title).count(),
                count,
                "{title} in {charts:?}"
            );
        }
        let bars = ["Share of the ceiling", "Amplification", "Where reads were answered from"];
        assert_eq!(texts(&look["bars"]), bars);
        let first = look["first"].as_str().unwrap();
        let places =
            ["AMD EPYC 7763", "Linux 6.1.0", "nvme0n1", "4f2a9c1e7b3d", "spread of rounds", "--rate-sweep"]
                .map(|part| first.find(part).unwrap_or_else(|| panic!("{part} in {first}")));
        assert!(places.is_sorted(), "{first}");
    });
}

#[test]
fn the_page_of_a_comparison_is_whole_in_light_and_dark_and_on_a_phone() {
    let place = Place::new();
    in_every_way(&place, "compare", |look| {
        assert_eq!(readable(look), ["Latency by percentile"; 4]);
        let bars = texts(&look["bars"]);
        for title in ["get, SSD", "load", "throughput, ops/s", "CPU per operation, µs"] {
            assert!(bars.contains(&title), "{title} in {bars:?}");
        }
        let verdicts = ["reached, noisy", "reached, noisy", "MISSED", "reached", "reached", "reached"];
        assert_eq!(texts(&look["verdicts"]), verdicts);
        assert!(look["first"].as_str().unwrap().contains("NOISY"));
    });
}

/// What runs, loads or writes in a page comes from this program and from no name in a document.
#[test]
fn hostile_names_do_nothing_in_a_browser() {
    let place = Place::new();
    let hostile =
        "<img src=x onerror=\"window.hostile=1\"><script>window.hostile=1</script></style></title>\u{202e}";
    let text = std::fs::read_to_string("tests/data/run-schema-1.json").unwrap();
    let quoted = serde_json::to_string(hostile).unwrap();
    let text = text
        .replace("\"readrandom, SSD\"", &quoted)
        .replace("\"get:1\"", &quoted)
        .replace("\"run\",\n      \"fillrandom\"", &quoted);
    let document = place.path("hostile.json");
    std::fs::write(&document, text.replace("\"AMD EPYC 7763 64-Core Processor\"", &quoted)).unwrap();
    let page = place.path("hostile.html");
    place.run(&["show", document.to_str().unwrap(), "--html", page.to_str().unwrap()]).good();
    let Some(mut browser) = Browser::start() else { return };
    let mut tab = browser.tab(360, 800, false);
    let loaded = tab.load(&page);
    assert_eq!(loaded.complaints, Vec::<String>::new());
    assert_eq!(tab.evaluate("typeof window.hostile"), "undefined");
    assert_eq!(tab.evaluate("document.querySelectorAll('img').length"), 0);
    assert_eq!(tab.evaluate("document.body.innerText.includes('onerror')"), true);
    assert_eq!(tab.evaluate("document.documentElement.scrollWidth"), 360);
}

/// A point says what it is when the pointer is over it.
#[test]
fn points_have_tips() {
    let place = Place::new();
    let page = page(&place, "run");
    let Some(mut browser) = Browser::start() else { return };
    let mut tab = browser.tab(1280, 900, false);
    tab.load(&page);
    let shown = tab.evaluate(
        "(() => { const dot = document.querySelector('circle.dot'); const box = dot.getBoundingClientRect();
           dot.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: box.x, clientY: box.y }));
           const tip = document.getElementById('tip'); return [tip.hidden, tip.textContent]; })()",
    );
    assert_eq!(shown[0], false);
    assert!(shown[1].as_str().unwrap().contains("ops/s at 1 s"), "{shown}");
}
