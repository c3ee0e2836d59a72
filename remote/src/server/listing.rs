//! The XML of a listing, as `s3s` takes it.

use s3s::dto::{
    CommonPrefix, ETag, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object, Timestamp,
};

use super::list::{self, Entry};

/// Answers `input`, which asked for `asked` keys, with one page.
pub(super) fn listing(
    input: ListObjectsV2Input,
    asked: i32,
    entries: Vec<Entry>,
    next: Option<&str>,
) -> ListObjectsV2Output {
    let in_url = input.encoding_type.as_ref().is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
    let shown = |text: String| if in_url { encoded(&text) } else { text };
    let count = i32::try_from(entries.len()).unwrap_or(i32::MAX);
    let mut contents = Vec::new();
    let mut common = Vec::new();
    for entry in entries {
        match entry {
            Entry::Object(key, meta) => contents.push(Object {
                key: Some(shown(key)),
                size: i64::try_from(meta.bytes).ok(),
                e_tag: Some(ETag::Strong(meta.etag)),
                last_modified: Some(Timestamp::from(meta.modified)),
                ..Object::default()
            }),
            Entry::Common(prefix) => common.push(CommonPrefix { prefix: Some(shown(prefix)) }),
        }
    }
    ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: input.prefix.map(shown),
        delimiter: input.delimiter.map(shown),
        start_after: input.start_after.map(shown),
        encoding_type: input.encoding_type,
        continuation_token: input.continuation_token,
        max_keys: Some(asked),
        key_count: Some(count),
        is_truncated: Some(next.is_some()),
        next_continuation_token: next.map(list::token_of),
        contents: Some(contents),
        common_prefixes: Some(common),
        ..ListObjectsV2Output::default()
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
