//! The operators' binary as a child process, on stores in folders that the engine wrote: what it prints, its JSON, its exit codes, and
//! that it disturbs nobody.

use crate::common;
use aquifer::{CompactionOptions, Engine, Expiry, Key, KeyRange, Options, RemoteCompaction};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A store in a folder.
struct Store {
    folder: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    fn open(&self, options: Options) -> Engine {
        aquifer::block_on(Engine::open(common::folder(self.folder.path()), options)).unwrap()
    }

    /// Two checkpoints of every kind of write: puts of some blocks, deletions, merges, expiring entries, a range deletion.
    fn filled() -> Self {
        let store = Self::new();
        let engine = store.open(common::small(1));
        aquifer::block_on(async {
            let client = engine.client();
            for n in 0..2000_u32 {
                client.put(format!("key-{n:04}").as_bytes(), &[b'v'; 20]).await.unwrap();
            }
            client.checkpoint(b"first".to_vec()).await.unwrap();
            for n in 0..200_u32 {
                client.delete(format!("key-{n:04}").as_bytes()).await.unwrap();
            }
            for n in 0..50_u32 {
                client.merge(b"sum", "add", &u64::from(n).to_le_bytes()).await.unwrap();
            }
            client.put_with(b"gone", b"value", Expiry::At(1)).await.unwrap_err();
            client.put_with(b"short", b"lived", Expiry::After(Duration::from_secs(3600))).await.unwrap();
            client.put(Key::in_group(3, b"map/a"), b"1").await.unwrap();
            client.put(Key::in_group(3, b"map/b\n"), b"2").await.unwrap();
            client.put(Key::in_group(3, b"map/c"), b"3").await.unwrap();
            client.put(Key::in_group(5, b"dead/a"), b"3").await.unwrap();
            client.delete_range(&KeyRange::prefix(Key::in_group(5, b"dead/"))).await.unwrap();
            client.checkpoint(b"second".to_vec()).await.unwrap();
        });
        aquifer::block_on(engine.close()).unwrap();
        store
    }

    fn run(&self, words: &[&str]) -> Output {
        aquifer(words.iter().copied().chain(["--store", &self.url()]))
    }

    /// Runs with `--json`, expects success, gives the document.
    fn json(&self, words: &[&str]) -> Value {
        let out = self.run(&[words, &["--json"]].concat());
        assert_eq!(code(&out), 0, "{}", stderr(&out));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// Every object, by name.
    fn objects(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    found.push((path, bytes));
                }
            }
        }
        found.sort();
        found
    }
}

fn aquifer<'a>(words: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aquifer")).args(words).output().unwrap()
}

fn code(out: &Output) -> i32 {
    out.status.code().unwrap()
}

fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn stdout(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

#[test]
fn inspect_store_and_manifest_say_what_the_engine_wrote() {
    let store = Store::filled();
    let document = store.json(&["inspect", "store"]);
    assert_eq!(document["key_groups"], 16);
    assert_eq!(document["packs"]["objects"], 2);
    let partition = &document["partitions"][0];
    assert_eq!((&partition["groups_end"], &partition["epoch"]), (&16.into(), &1.into()));
    let newest = &partition["newest_manifests"][0];
    assert_eq!(newest["is_checkpoint"], true);
    assert_eq!(newest["metadata_bytes"], 6);
    assert_eq!(partition["newest_checkpoint"], newest["manifest"]);
    assert_eq!(partition["manifests"]["objects"], 3, "the opening's and two checkpoints'");

    let manifest = store.json(&["inspect", "manifest"]);
    assert_eq!(manifest["metadata"], "second");
    assert_eq!((&manifest["hot_extents"], &manifest["hot_list_bytes"]), (&0.into(), &0.into()));
    assert_eq!(manifest["segments"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["segments"][1]["counts"]["entries"], 2000);
    assert_eq!(manifest["segments"][0]["counts"]["tombstones"], 200);
    assert_eq!(manifest["segments"][0]["range_deletes"], 1);
    let first = store.json(&["inspect", "manifest", "--checkpoint", "2"]);
    assert_eq!((&first["metadata"], &first["entries"]), (&"first".into(), &2000.into()));
    let opened = store.json(&["inspect", "manifest", "--manifest", "1"]);
    assert_eq!(opened["segments"].as_array().unwrap().len(), 0);

    for words in [["inspect", "store"], ["inspect", "manifest"]] {
        let out = store.run(&words);
        assert!(code(&out) == 0 && stdout(&out).contains("checkpoint"), "{}", stderr(&out));
    }
}

#[test]
fn inspect_segment_and_block_show_every_kind_of_write() {
    let store = Store::filled();
    let segment = store.json(&["inspect", "segment", "1", "--blocks"]);
    assert_eq!(segment["counts"]["entries"], 2000);
    let blocks = usize::try_from(segment["blocks"].as_u64().unwrap()).unwrap();
    assert!(blocks > 3, "{blocks}");
    let listed: usize = segment["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|partition| partition["block_list"].as_array().unwrap().len())
        .sum();
    assert_eq!(listed, blocks);
    let bits = segment["filter_bits_per_key"].as_f64().unwrap();
    assert!((8.0..9.5).contains(&bits), "{bits}");
    let by_name = format!("{}@{}", segment["object"].as_str().unwrap(), segment["offset"]);
    assert_eq!(store.json(&["inspect", "segment", &by_name, "--blocks"]), segment);

    let mut kinds = std::collections::BTreeMap::new();
    for block in 0..store.json(&["inspect", "segment", "0"])["blocks"].as_u64().unwrap() {
        let block = store.json(&["inspect", "block", "0", &block.to_string()]);
        for entry in block["entries"].as_array().unwrap() {
            *kinds.entry(entry["kind"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            if entry["key"] == "sum" {
                assert_eq!((&entry["operator"], &entry["value_bytes"]), (&"add".into(), &8.into()));
            }
            if entry["key"] == "short" {
                assert!(entry["expires_ms"].as_u64().is_some());
            }
        }
    }
    assert_eq!(kinds["delete"], 200);
    assert!(kinds["put"] >= 4 && kinds["merge"] == 1, "{kinds:?}");
    let out = store.run(&["inspect", "block", "0", "0"]);
    assert!(stdout(&out).contains("it holds"), "{}", stdout(&out));
    assert!(stdout(&store.run(&["inspect", "segment", "0", "--blocks"])).contains("bits a key"));
}

#[test]
fn get_and_scan_read_a_checkpoint_and_the_owner_goes_on_writing() {
    let store = Store::filled();
    let owner = store.open(common::small(1));
    let before = store.objects();
    let get = |words: &[&str]| {
        let out = store.run(words);
        (code(&out), stdout(&out))
    };
    assert_eq!(get(&["get", "key-1000"]), (0, format!("{}\n", "v".repeat(20))));
    assert_eq!(get(&["get", "key-1000", "--raw"]), (0, "v".repeat(20)));
    assert_eq!(get(&["get", "key-0000"]).0, 1, "deleted");
    assert_eq!(get(&["get", "key-0000", "--checkpoint", "2"]).0, 0, "not yet deleted");
    assert_eq!(get(&["get", "nothing"]).0, 1);
    assert_eq!(get(&["get", "short"]), (0, "lived\n".to_owned()));
    assert_eq!(get(&["get", "short", "--now-ms", &u64::MAX.to_string()]).0, 1, "expired by then");
    assert_eq!(get(&["get", "6d61702f610a", "--hex", "--group", "3"]).0, 1);
    assert_eq!(get(&["get", "6d61702f620a", "--hex", "--group", "3"]), (0, "32\n".to_owned()));
    let sum = store.json(&["get", "sum", "--hex"].map(|word| if word == "sum" { "73756d" } else { word }));
    assert_eq!(sum["value"], "c904000000000000", "0 + 1 + .. + 49");

    let scan = |words: &[&str]| stdout(&store.run(&[&["scan"], words].concat()));
    assert_eq!(scan(&["--prefix", "map/"]), "map/a\t1\nmap/b\\n\t2\nmap/c\t3\n");
    assert_eq!(scan(&["--prefix", "map/", "--reverse", "--limit", "2"]), "map/c\t3\nmap/b\\n\t2\n");
    assert_eq!(scan(&["--prefix", "dead/"]), "");
    assert_eq!(scan(&[]).lines().count(), 1800 + 2 + 3);
    let lines = scan(
        &["--prefix", "map/b", "--json", "--hex", "--group", "3"]
            .map(|word| if word == "map/b" { "6d61702f62" } else { word }),
    );
    let line: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(line, serde_json::json!({"group": 3, "key": "6d61702f620a", "value": "32"}));

    assert_eq!(store.objects(), before, "nothing was written");
    aquifer::block_on(async {
        owner.client().put(b"still", b"mine").await.unwrap();
        owner.client().checkpoint(Vec::new()).await.unwrap();
    });
    assert_eq!(get(&["get", "still"]), (0, "mine\n".to_owned()));
    aquifer::block_on(owner.close()).unwrap();
}

#[test]
fn what_is_not_there_makes_no_sense_or_cannot_be_reached_has_its_exit_code() {
    let store = Store::filled();
    let missing = [
        &["inspect", "manifest", "--manifest", "77"][..],
        &["inspect", "manifest", "--checkpoint", "1"],
        &["inspect", "segment", "2"],
        &["inspect", "segment", "pack/x@0"],
        &["inspect", "block", "0", "99"],
        &["verify", "--checkpoint", "77"],
        &["scan", "--checkpoint", "77"],
    ];
    for words in missing {
        let out = store.run(words);
        assert_eq!(code(&out), 1, "{words:?}: {}", stderr(&out));
        assert!(stderr(&out).contains(" has no "), "{}", stderr(&out));
    }
    let nonsense = [
        &["get", "0g", "--hex"][..],
        &["get", "k", "--group", "16"],
        &["get", "k", "--memory-bytes", "1KiB"],
        &["inspect", "segment", "nonsense"],
        &["verify", "--parallel", "0"],
        &["verify", "--read-bytes", "1"],
        &["compact", "--memory-bytes", "1"],
        &["compact", "--once", "--jobs", "2"],
        &["scan", "--limit", "0"],
        &["no-such-command"],
    ];
    for words in nonsense {
        let out = store.run(words);
        assert_eq!(code(&out), 2, "{words:?}: {}", stderr(&out));
    }
    let commands = [
        &["inspect", "store"][..],
        &["inspect", "manifest"],
        &["inspect", "segment", "0"],
        &["inspect", "block", "0", "0"],
        &["verify"],
        &["compact", "--once"],
        &["scan"],
        &["get", "k"],
    ];
    let nowhere = store.folder.path().join("nowhere");
    let nowhere_url = format!("file://{}", nowhere.display());
    for words in commands {
        let at = |url: &str| aquifer(words.iter().copied().chain(["--store", url]));
        let out = at(&nowhere_url);
        assert_eq!(code(&out), 1, "{words:?}: {}", stderr(&out));
        assert!(stderr(&out).contains("there is no store at"), "{}", stderr(&out));
        let out = at("gopher://user:secret@example.com/x");
        assert_eq!(code(&out), 2, "{words:?}: {}", stderr(&out));
        assert!(!stderr(&out).contains("secret"), "{}", stderr(&out));
    }
    assert!(!nowhere.exists(), "looking makes no folder");
    // A port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let out = aquifer(["get", "k", "--store", &format!("http://user:secret@127.0.0.1:{port}/x")]);
    assert!(matches!(code(&out), 2 | 3), "{}", stderr(&out));
    assert!(!stderr(&out).contains("secret"), "{}", stderr(&out));
}

/// Flips a bit of an object in the store's folder.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.get_mut(at).unwrap() ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn verify_finds_a_flipped_byte_in_each_kind_of_structure_and_goes_on() {
    let store = Store::filled();
    let sound = store.json(&["verify"]);
    assert_eq!(
        (&sound["sound"], &sound["segments"], &sound["entries"]),
        (&true.into(), &2.into(), &2205.into())
    );
    let all: u64 = store.json(&["inspect", "manifest"])["bytes"].as_u64().unwrap();
    assert_eq!(sound["bytes_read"].as_u64().unwrap(), all, "every byte");
    assert_eq!(store.json(&["verify", "--checkpoint", "2"])["segments"], 1);
    assert!(stdout(&store.run(&["verify"])).contains("everything is as it was written"));

    let segment = store.json(&["inspect", "segment", "1", "--blocks"]);
    let pack = store.folder.path().join(segment["object"].as_str().unwrap());
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let (bytes, tail) = (number(&segment["bytes"]), number(&segment["tail_bytes"]));
    let partition = &segment["partitions"][0];
    let meta = number(&partition["offset"]) + number(&partition["data_bytes"]);
    let filter = meta + number(&partition["meta_bytes"]) - 20;
    let block = number(&partition["block_list"][1]["offset"]);
    let manifest = store.folder.path().join(format!("partition/00000-00016/manifest/{:020}", 3));
    let places = [
        ("block header", &pack, block + 5, block),
        ("block payload", &pack, block + 60, block),
        ("partition meta", &pack, meta + 40, meta),
        ("filter", &pack, filter, meta),
        ("head", &pack, bytes - tail + 50, bytes - tail),
        ("footer", &pack, bytes - 30, bytes - 64),
        ("manifest", &manifest, 130, 96),
        ("descriptor", &store.folder.path().join("store"), 20, 0),
    ];
    for (what, path, at, reported) in places {
        flip(path, at);
        let out = store.run(&["verify", "--json"]);
        assert_eq!(code(&out), 1, "{what}: {}", stderr(&out));
        let report: Value = serde_json::from_slice(&out.stdout).unwrap();
        let faults = report["faults"].as_array().unwrap();
        assert_eq!(faults.len(), 1, "{what}: {faults:?}");
        let object = faults[0]["object"].as_str().unwrap();
        assert!(path.ends_with(object), "{what}: {object}");
        assert_eq!(number(&faults[0]["offset"]), reported, "{what}: {faults:?}");
        assert!(faults[0]["expected"].is_string() && faults[0]["found"].is_string());
        if path == &pack {
            assert!(report["entries"].as_u64().unwrap() >= 205, "{what}: the other segment was read");
        }
        flip(path, at);
    }
    // Several faults at once, of which none hides another; the other commands end with 4.
    flip(&pack, block + 60);
    flip(&pack, 60);
    let out = store.run(&["verify"]);
    assert!(code(&out) == 1 && stdout(&out).matches(" at offset ").count() == 2, "{}", stdout(&out));
    assert_eq!(code(&store.run(&["scan"])), 4);
    assert_eq!(code(&store.run(&["inspect", "block", "1", "1"])), 4);
    // A cut and a missing object.
    let whole = std::fs::read(&pack).unwrap();
    std::fs::write(&pack, &whole[..bytes - 100]).unwrap();
    assert_eq!(code(&store.run(&["verify"])), 1);
    std::fs::remove_file(&pack).unwrap();
    let out = store.run(&["verify", "--json"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((code(&out), number(&report["bytes_unread"])), (1, bytes), "{report}");
}

/// A small engine that offers every merge.
fn offering() -> Options {
    let remote = RemoteCompaction { offer_bytes_min: 0, lease: Duration::from_millis(800), always: true };
    Options {
        compaction: CompactionOptions { remote: Some(remote), ..CompactionOptions::default() },
        ..common::small(1)
    }
}

fn spawn_worker(store: &Store, flags: &[&str]) -> Child {
    let common = ["compact", "--poll-ms", "10", "--beat-ms", "50", "--memory-bytes", "8MiB"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_aquifer"));
    command.args(common).args(flags).args(["--store", &store.url()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// Writes until `until` says that it is enough, at most 200,000 times; gives what was written.
fn write(engine: &Engine, mut until: impl FnMut() -> bool) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut written = std::collections::BTreeMap::new();
    let client = engine.client();
    for round in 0..4000 {
        for _ in 0..50 {
            let key = random.u16(0..20_000).to_le_bytes().to_vec();
            let value = vec![random.u8(..); 200];
            aquifer::block_on(client.put(&key, &value)).unwrap();
            written.insert(key, value);
        }
        if round % 20 == 0 && until() {
            return written;
        }
    }
    unreachable!("nobody compacted");
}

/// Whether an object whose name has `part` lies in the folder of jobs.
fn has_job_object(store: &Store, part: &str) -> bool {
    let Ok(jobs) = std::fs::read_dir(store.folder.path().join("compaction")) else { return false };
    jobs.filter_map(|job| std::fs::read_dir(job.ok()?.path()).ok())
        .flat_map(|job| job.filter_map(Result::ok))
        .any(|object| object.file_name().to_string_lossy().contains(part))
}

fn has_claim_of(store: &Store, worker: &str) -> bool {
    let Ok(jobs) = std::fs::read_dir(store.folder.path().join("compaction")) else { return false };
    jobs.filter_map(|job| std::fs::read_dir(job.ok()?.path()).ok())
        .flat_map(|job| job.filter_map(Result::ok))
        .filter(|object| object.file_name().to_string_lossy().contains("claim-"))
        .filter_map(|claim| std::fs::read(claim.path()).ok())
        .any(|claim| claim.windows(worker.len()).any(|part| part == worker.as_bytes()))
}

#[test]
fn a_killed_compact_loses_nothing_and_one_that_is_told_to_end_ends_in_order() {
    let store = Store::new();
    let engine = store.open(offering());
    let mut victim = spawn_worker(&store, &["--upload-bytes-per-s", "64KiB"]);
    // So slow that it is at work when it dies.
    let mut written = write(&engine, || has_job_object(&store, "claim-"));
    victim.kill().unwrap();
    victim.wait().unwrap();
    // Told to end before it could hear of it, it would just die: it is at work once it has claimed a job.
    let ended = spawn_worker(&store, &["--json", "--name", "the-second"]);
    written.extend(write(&engine, || has_claim_of(&store, "the-second")));
    signal(&ended, "-TERM");
    let out = ended.wait_with_output().unwrap();
    assert_eq!(code(&out), 0, "{}", stderr(&out));
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["ended_by_signal"], true, "{report}");
    let read = aquifer::block_on(common::scan_all(&engine.client(), 16, 1000));
    assert!(read == written, "reads as written");
    aquifer::block_on(engine.client().checkpoint(Vec::new())).unwrap();
    assert_eq!(code(&store.run(&["verify"])), 0);
    aquifer::block_on(engine.close()).unwrap();
    let engine = store.open(common::small(1));
    assert!(
        aquifer::block_on(common::scan_all(&engine.client(), 16, 1000)) == written,
        "and after reopening"
    );
    aquifer::block_on(engine.close()).unwrap();
}

#[test]
fn compact_once_ends_when_there_is_nothing_to_do() {
    let store = Store::filled();
    let report = store.json(&["compact", "--once"]);
    assert_eq!((&report["jobs"], &report["ended_by_signal"]), (&0.into(), &false.into()));
    assert_eq!(store.json(&["compact", "--idle-s", "0"])["given_up"], 0);
}

#[test]
fn help_has_every_exit_code() {
    for words in
        [&["--help"][..], &["inspect", "--help"], &["verify", "--help"], &["inspect", "store", "--help"]]
    {
        let out = aquifer(words.iter().copied());
        assert_eq!(code(&out), 0);
        assert!(stdout(&out).contains("--store") || words.len() == 1 || words[1] == "--help");
    }
    let help = stdout(&aquifer(["--help"]));
    for exit in ["0 done", "1 what was asked for", "2 flags", "3 the store", "4 damaged", "5 this machine"] {
        assert!(help.contains(exit), "{exit}");
    }
}
