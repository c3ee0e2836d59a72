//! Known secrets, and the one place through which text goes that users may see: they are masked in it, whoever wrote it.
//!
//! ```text
//! settings, credentials on their way out ──> learn ─┐
//! answers, addresses, errors of libraries ──> masked ──> RemoteError, describe()
//! ```
//!
//! A server that was sent a token may repeat it in any form. Found are: the secret as it is, its parts of 16 bytes and more, what
//! is left of one at the end of a text that was cut off, and each of them percent-encoded, with XML entities, JSON escapes, up to
//! three of those in each other, and in Base64 at any place.
//!
//! Invariants:
//! * Text is masked before it is cut: a cut secret would not be known again.
//! * Secrets shorter than [`SECRET_BYTES_MIN`] are not masked: they would tear every text.
//! * At most [`SECRETS_MAX`] are known; the oldest is forgotten first.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use percent_encoding::percent_decode_str;

/// Shortest secret that is masked.
const SECRET_BYTES_MIN: usize = 4;
/// Longest secret that is looked at.
const SECRET_BYTES_MAX: usize = 16 << 10;
/// Secrets that are known at once, in a process.
const SECRETS_MAX: usize = 256;
/// A part of a secret of so many bytes is masked wherever it stands.
const PART_BYTES: usize = 16;
/// The beginning of a secret of so many bytes is masked at the end of a text.
const CUT_BYTES_MIN: usize = 6;
/// Encodings in each other that are seen through.
const LAYERS_MAX: usize = 3;
const MASK: &str = "(secret)";

static KNOWN: Mutex<VecDeque<Secret>> = Mutex::new(VecDeque::new());

/// A secret in the forms in which it is looked for. There is no `Debug`.
struct Secret {
    value: Vec<u8>,
    forms: Vec<Form>,
}

struct Form {
    bytes: Vec<u8>,
    /// Hashes of all its parts, sorted.
    parts: Vec<u64>,
}

impl Form {
    fn new(bytes: Vec<u8>) -> Self {
        let mut parts: Vec<u64> = bytes.windows(PART_BYTES).map(hash).collect();
        parts.sort_unstable();
        Self { bytes, parts }
    }
}

impl Secret {
    fn new(value: &[u8]) -> Self {
        let mut forms = vec![Form::new(value.to_vec())];
        for shift in 0..3 {
            let coded = base64_core(value, shift);
            if coded.len() >= 8 {
                let for_urls = coded.iter().map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => *other,
                });
                forms.push(Form::new(for_urls.collect()));
                forms.push(Form::new(coded));
            }
        }
        Self { value: value.to_vec(), forms }
    }
}

/// Makes a secret known; also as it reads percent-decoded, and the signature within a shared access signature.
pub(crate) fn learn(value: &str) {
    add(value.as_bytes());
    if value.contains('%') {
        add(&percent_decode_str(value).collect::<Vec<u8>>());
    }
    for part in value.split(['?', '&']) {
        if let Some(signature) = part.strip_prefix("sig=") {
            add(signature.as_bytes());
            add(&percent_decode_str(signature).collect::<Vec<u8>>());
        }
    }
}

/// Makes a user's password known, and the header that carries both.
pub(crate) fn learn_password(user: &str, password: &str) {
    learn(password);
    add(&base64_core(format!("{user}:{password}").as_bytes(), 0));
}

fn add(value: &[u8]) {
    if value.len() < SECRET_BYTES_MIN || value.len() > SECRET_BYTES_MAX {
        return;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.iter().any(|secret| secret.value == value) {
        return;
    }
    if known.len() >= SECRETS_MAX {
        known.pop_front();
    }
    known.push_back(Secret::new(value));
}

/// Takes note of the settings that are secrets by their name (`AWS_SECRET_ACCESS_KEY`, `AZURE_STORAGE_SAS_TOKEN`, …).
pub(crate) fn learn_setting(name: &str, value: &str) {
    let name = name.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["PROXY"]) {
        if let Ok(url) = url::Url::parse(value)
            && let Some(password) = url.password()
        {
            learn_password(url.username(), password);
        }
        return;
    }
    let is_secret = has(&["SECRET", "TOKEN", "PASSWORD", "SIGNATURE", "SAS", "KEY"]);
    if !is_secret || name.ends_with("KEY_ID") || has(&["FILE", "URI", "PATH", "ENDPOINT", "SKIP", "ENABLED"])
    {
        return;
    }
    if matches!(value.to_ascii_lowercase().as_str(), "true" | "false") {
        return;
    }
    learn(value);
    // A service account's key is a document with the key in it.
    if let Ok(document) = serde_json::from_str::<serde_json::Value>(value)
        && let Some(key) = document.get("private_key").and_then(serde_json::Value::as_str)
    {
        learn(key);
    }
}

/// The secrets that a request carries: where they come from is not known to us, as they may have been fetched.
#[derive(Clone, Default)]
pub(crate) struct Carried(Vec<String>);

impl Carried {
    /// Looks at a request's headers and query.
    pub(crate) fn of(headers: &hyper::HeaderMap, query: &str) -> Self {
        const TOKENS: [&str; 3] =
            ["x-amz-security-token", "x-amz-server-side-encryption-customer-key", "x-ms-encryption-key"];
        const PARAMETERS: [&str; 4] = ["x-amz-signature", "x-amz-security-token", "sig", "x-goog-signature"];
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut carried: Vec<String> = TOKENS.into_iter().filter_map(text).map(ToOwned::to_owned).collect();
        if let Some(authorization) = text("authorization") {
            // `Bearer token`, `SharedKey account:signature`, `AWS4-HMAC-SHA256 Credential=…, Signature=…`
            let last = authorization.rsplit(['=', ' ', ':']).find(|part| !part.is_empty()).unwrap_or("");
            carried.push(last.to_owned());
            carried.extend(
                authorization
                    .split_once(' ')
                    .filter(|(kind, _)| *kind != "AWS4-HMAC-SHA256")
                    .map(|(_, value)| value.to_owned()),
            );
        }
        for (name, value) in query.split('&').filter_map(|parameter| parameter.split_once('=')) {
            if PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                carried.push(percent_decode_str(value).decode_utf8_lossy().into_owned());
            }
        }
        carried.retain(|value| value.len() >= SECRET_BYTES_MIN && value.len() <= SECRET_BYTES_MAX);
        Self(carried)
    }

    /// The text without these secrets and without those that are known.
    pub(crate) fn masked(&self, text: &str) -> String {
        let own: Vec<Secret> = self.0.iter().map(|value| Secret::new(value.as_bytes())).collect();
        masked(&mask_with(text, &own.iter()))
    }
}

/// The text with every known secret in it masked. For whoever prints what a server wrote.
#[must_use]
pub fn masked(text: &str) -> String {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    mask_with(text, &known.iter())
}

fn mask_with<'s>(text: &str, secrets: &(impl Iterator<Item = &'s Secret> + Clone)) -> String {
    if secrets.clone().next().is_none() {
        return text.to_owned();
    }
    // Which bytes of the text go.
    let mut hidden = vec![false; text.len()];
    let mut units: Vec<Unit> = text
        .bytes()
        .enumerate()
        .map(|(at, byte)| Unit { byte, start: at, end: at.saturating_add(1) })
        .collect();
    for _ in 0..=LAYERS_MAX {
        let bytes: Vec<u8> = units.iter().map(|unit| unit.byte).collect();
        let parts: Vec<u64> = bytes.windows(PART_BYTES).map(hash).collect();
        for form in secrets.clone().flat_map(|secret| &secret.forms) {
            find(&bytes, &parts, form, |from, to| {
                let span = units.get(from..to).unwrap_or_default();
                let (Some(first), Some(last)) = (span.first(), span.last()) else { return };
                hidden.get_mut(first.start..last.end).unwrap_or_default().fill(true);
            });
        }
        let next = seen_through(&units);
        if next.len() == units.len() {
            break;
        }
        units = next;
    }
    if !hidden.contains(&true) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut was_hidden = false;
    for (at, character) in text.char_indices() {
        let is_hidden =
            hidden.get(at..at.saturating_add(character.len_utf8())).is_some_and(|part| part.contains(&true));
        match (is_hidden, was_hidden) {
            (false, _) => shown.push(character),
            (true, false) => shown.push_str(MASK),
            (true, true) => {}
        }
        was_hidden = is_hidden;
    }
    shown
}

/// Calls `hide` with each place of `text` that is, or is a part of, a secret.
fn find(text: &[u8], parts: &[u64], form: &Form, mut hide: impl FnMut(usize, usize)) {
    let whole = form.bytes.len();
    if whole <= text.len() {
        for (at, window) in text.windows(whole).enumerate() {
            if window == form.bytes {
                hide(at, at.saturating_add(whole));
            }
        }
    }
    for (at, part) in parts.iter().enumerate() {
        if form.parts.binary_search(part).is_ok() {
            hide(at, at.saturating_add(PART_BYTES));
        }
    }
    let longest = whole.saturating_sub(1).min(PART_BYTES).min(text.len());
    for bytes in (CUT_BYTES_MIN..=longest).rev() {
        let from = text.len().saturating_sub(bytes);
        if text.get(from..) == form.bytes.get(..bytes) {
            hide(from, text.len());
            break;
        }
    }
}

/// A byte that a text stands for, and where it stands.
#[derive(Clone, Copy)]
struct Unit {
    byte: u8,
    start: usize,
    end: usize,
}

/// One layer of encoding taken off: `%2F`, `&#47;`, `&amp;`, `\u002f`, `\/`.
fn seen_through(units: &[Unit]) -> Vec<Unit> {
    let mut out = Vec::with_capacity(units.len());
    let mut rest = units;
    while let Some(first) = rest.first() {
        let (byte, taken) = decode(rest).unwrap_or((first.byte, 1));
        let (read, left) = rest.split_at(taken.clamp(1, rest.len()));
        out.push(Unit { byte, start: first.start, end: read.last().map_or(first.end, |last| last.end) });
        rest = left;
    }
    out
}

/// The byte that an escape at the beginning stands for, and how long the escape is.
fn decode(units: &[Unit]) -> Option<(u8, usize)> {
    const ENTITIES: [(&str, u8); 5] =
        [("&amp;", b'&'), ("&lt;", b'<'), ("&gt;", b'>'), ("&quot;", b'"'), ("&apos;", b'\'')];
    let text: String = units.iter().take(10).map(|unit| char::from(unit.byte)).collect();
    let number = |digits: Option<&str>, radix| u8::from_str_radix(digits?, radix).ok();
    if text.starts_with('%') {
        return Some((number(text.get(1..3), 16)?, 3));
    }
    if text.starts_with('\\') {
        return match text.get(1..2)? {
            "u" => Some((number(text.get(2..6), 16)?, 6)),
            "x" => Some((number(text.get(2..4), 16)?, 4)),
            "/" => Some((b'/', 2)),
            "\\" => Some((b'\\', 2)),
            "\"" => Some((b'"', 2)),
            "n" => Some((b'\n', 2)),
            _ => None,
        };
    }
    if !text.starts_with('&') {
        return None;
    }
    if let Some((entity, byte)) = ENTITIES.iter().find(|(entity, _)| text.starts_with(entity)) {
        return Some((*byte, entity.len()));
    }
    let end = text.find(';')?;
    let inner = text.get(2..end).filter(|_| text.starts_with("&#"))?;
    let byte = match inner.strip_prefix(['x', 'X']) {
        Some(digits) => number(Some(digits), 16)?,
        None => number(Some(inner), 10)?,
    };
    Some((byte, end.saturating_add(1)))
}

/// What of the Base64 text of something with these bytes in it depends on them alone, when `shift` bytes (modulo 3) stand before.
fn base64_core(bytes: &[u8], shift: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padded: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
    let bits = padded.len().saturating_mul(8);
    let (first, last) = (shift.saturating_mul(8).div_ceil(6), bits / 6);
    let digit = |index: usize| {
        let bit = index.saturating_mul(6);
        let byte = |at: usize| u16::from(padded.get(at).copied().unwrap_or(0));
        let both = (byte(bit / 8) << 8) | byte((bit / 8).saturating_add(1));
        let value = usize::from((both >> 10_usize.saturating_sub(bit % 8)) & 63);
        DIGITS.get(value).copied().unwrap_or(b'A')
    };
    (first..last).map(digit).collect()
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "IQoJb3JpZ2/luX2VjEJr+TheToken==&<\"x\">/end";

    fn hide(secret: &str, text: &str) -> String {
        mask_with(text, &[Secret::new(secret.as_bytes())].iter())
    }

    #[test]
    fn a_secret_is_found_in_every_dress() {
        let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let some =
            percent_encoding::utf8_percent_encode(TOKEN, percent_encoding::NON_ALPHANUMERIC).to_string();
        let xml =
            TOKEN.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let numbers: String = TOKEN.bytes().map(|byte| format!("&#{byte};")).collect();
        let hex: String = TOKEN.bytes().map(|byte| format!("&#x{byte:X};")).collect();
        let json: String = TOKEN.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let slashes = TOKEN.replace('/', "\\/").replace('"', "\\\"");
        let twice = percent(&percent(TOKEN));
        for dressed in
            [TOKEN, &percent(TOKEN), &some, &xml, &numbers, &hex, &json, &slashes, &twice, &percent(&xml)]
        {
            let shown = hide(TOKEN, &format!("before {dressed} after"));
            assert_eq!(shown, "before (secret) after", "{dressed}");
        }
    }

    #[test]
    fn base64_is_found_wherever_it_begins() {
        for before in ["", "u", "us", "user:", "somebody:"] {
            let whole = base64_core(format!("{before}{TOKEN} and so on").as_bytes(), 0);
            let whole = String::from_utf8(whole).unwrap();
            for text in [whole.clone(), whole.replace('+', "-").replace('/', "_")] {
                let shown = hide(TOKEN, &format!("Basic {text}"));
                assert!(shown.contains(MASK) && shown.len() < 50, "{shown}");
            }
        }
        assert_eq!(base64_core(b"Man", 0), b"TWFu");
        assert_eq!(base64_core(b"user:pass", 0), b"dXNlcjpwYXNz");
    }

    /// Cut to 200 characters before anybody looked, a token at the cut was shown in part.
    #[test]
    fn what_is_left_of_a_cut_secret_is_found() {
        for cut in CUT_BYTES_MIN..TOKEN.len() {
            let shown = hide(TOKEN, &format!("the token is {}", &TOKEN[..cut]));
            assert_eq!(shown, "the token is (secret)", "{cut}");
        }
        let shown = hide(TOKEN, &format!("…{} is bad", &TOKEN[7..30]));
        assert_eq!(shown, "…(secret) is bad");
    }

    #[test]
    fn other_text_stays() {
        for text in ["", "the server answered 503", "50% of & all; \\ ü %zz &#; \\u12", "IQoJb3 is short"] {
            assert_eq!(hide(TOKEN, text), text);
        }
        assert_eq!(hide("pass", "pass pass"), "(secret) (secret)");
    }

    #[test]
    fn secrets_are_known_by_the_names_of_their_settings() {
        for (name, value, is_secret) in [
            ("AWS_SECRET_ACCESS_KEY", "known-aws-secret", true),
            ("aws_session_token", "known-session-token", true),
            ("aws_sse_customer_key_base64", "known-customer-key", true),
            ("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=known%2Bsas%3D", true),
            ("AQUIFER_WEBDAV_PASSWORD", "known-password", true),
            ("GOOGLE_SERVICE_ACCOUNT_KEY", r#"{"private_key":"known\nprivate"}"#, true),
            ("https_proxy", "http://me:known-proxy-pw@host", true),
            ("AWS_ACCESS_KEY_ID", "shown-key-id", false),
            ("AWS_REGION", "shown-region", false),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/shown/token/file", false),
            ("AWS_SKIP_SIGNATURE", "true", false),
        ] {
            learn_setting(name, value);
            assert_eq!(masked(value) != value, is_secret, "{name}");
        }
        assert_eq!(masked("known+sas="), MASK);
        assert_eq!(masked("known\nprivate"), MASK);
    }

    #[test]
    fn what_a_request_carries_is_masked() {
        let mut headers = hyper::HeaderMap::new();
        let value = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/r/s3/aws4_request, SignedHeaders=host, Signature=0123456789abcdef";
        headers.insert("authorization", value.parse().unwrap());
        headers.insert("x-amz-security-token", "fetched/token".parse().unwrap());
        let carried = Carried::of(&headers, "X-Amz-Signature=fedcba98&sig=a%2Fbcd&prefix=x");
        let shown = carried.masked("fetched%2Ftoken 0123456789abcdef fedcba98 a/bcd AKIA x");
        assert_eq!(shown, "(secret) (secret) (secret) (secret) AKIA x");
        headers.insert("authorization", "Bearer ya29.token".parse().unwrap());
        assert_eq!(Carried::of(&headers, "").masked("it is ya29.token."), "it is (secret).");
    }
}
