#[test]
fn fixture() {
    for name in ["run", "compare"] {
        let mut d =
            super::Document::parse(&std::fs::read(format!("/var/tmp/b2/{name}.json")).unwrap()).unwrap();
        match &mut d {
            super::Document::Run(run) => {
                let e = run.header.ended_unix_ms;
                run.finish();
                run.header.ended_unix_ms = e;
            }
            super::Document::Compare(c) => {
                let e = c.header.ended_unix_ms;
                c.finish();
                c.header.ended_unix_ms = e;
            }
        }
        std::fs::write(
            format!("/var/tmp/wt/b2/benches/tests/data/{name}-schema-1.json"),
            d.to_json().unwrap(),
        )
        .unwrap();
        println!("{}", super::table(&d));
    }
}
