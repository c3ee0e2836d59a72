//! Headless Chromium, driven through its DevTools protocol over a pipe: messages of JSON that end with a zero byte, in on
//! file 3 and out on file 4 of the browser.

#![allow(unreachable_pub, reason = "a module of a test program")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Names under which it may be installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The longest wait for one message.
const WAIT: Duration = Duration::from_secs(60);

/// A running browser; ended with the test.
pub struct Browser {
    child: Child,
    messages: ChildStdin,
    answers: Receiver<Value>,
    events: VecDeque<Value>,
    next_id: u64,
    _profile: tempfile::TempDir,
}

/// A page as it was loaded.
pub struct Loaded {
    /// Errors and warnings of console and log.
    pub complaints: Vec<String>,
    /// Addresses that were asked for.
    pub requests: Vec<String>,
}

impl Browser {
    /// Starts it; `None` when it is not installed, unless `AQUIFER_TEST_CHROMIUM=1` says that it must be.
    pub fn start() -> Option<Self> {
        let works = |name: &&&str| {
            let version =
                Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        let Some(name) = NAMES.iter().find(works) else {
            let required = std::env::var("AQUIFER_TEST_CHROMIUM").is_ok_and(|value| value == "1");
            assert!(!required, "AQUIFER_TEST_CHROMIUM=1, and none of {} works", NAMES.join(", "));
            eprintln!("not tested: no Chromium here (apt-get install chromium)");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh", name])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, answers) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let messages = child.stdin.take().unwrap();
        Some(Self { child, messages, answers, events: VecDeque::new(), next_id: 1, _profile: profile })
    }

    /// Opens a tab of this size in light or dark.
    pub fn tab(&mut self, width: u32, height: u32, dark: bool) -> Tab<'_> {
        let target = self.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session =
            self.call(None, "Target.attachToTarget", &attach)["sessionId"].as_str().unwrap().to_owned();
        let mut tab = Tab { browser: self, session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), &json!({}));
        }
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        tab.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        tab.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
        tab
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.messages.write_all(&bytes).unwrap();
        loop {
            let answer = self.answers.recv_timeout(WAIT).unwrap_or_else(|_| panic!("no answer to {method}"));
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push_back(answer);
        }
    }

    fn event(&mut self) -> Value {
        let waiting = self.events.pop_front();
        waiting.unwrap_or_else(|| self.answers.recv_timeout(WAIT).expect("no event of the browser"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One tab.
pub struct Tab<'b> {
    browser: &'b mut Browser,
    session: String,
}

impl Tab<'_> {
    fn call(&mut self, method: &str, params: &Value) -> Value {
        let session = self.session.clone();
        self.browser.call(Some(&session), method, params)
    }

    /// Loads a file to its end.
    pub fn load(&mut self, path: &Path) -> Loaded {
        let address = format!("file://{}", path.display());
        let opened = self.call("Page.navigate", &json!({ "url": address }));
        assert!(opened["errorText"].is_null(), "{opened}");
        let mut loaded = Loaded { complaints: Vec::new(), requests: Vec::new() };
        while !self.take(&mut loaded) {}
        // What came with the end of loading is in by the time of another answer.
        self.evaluate("1");
        while !self.browser.events.is_empty() {
            self.take(&mut loaded);
        }
        loaded
    }

    /// Takes one event; true when it is the end of loading.
    fn take(&mut self, loaded: &mut Loaded) -> bool {
        let event = self.browser.event();
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => return true,
            "Network.requestWillBeSent" => {
                loaded.requests.push(params["request"]["url"].as_str().unwrap().to_owned());
            }
            "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded" => {
                loaded.complaints.push(params.to_string());
            }
            _ => {}
        }
        false
    }

    /// The value of a JavaScript expression.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer =
            self.call("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true }));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The whole page as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        use base64::Engine as _;
        let answer = self.call("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }));
        base64::prelude::BASE64_STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }
}
