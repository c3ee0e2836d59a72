//! What a server answers to PROPFIND: a `multistatus` document, read without trust.
//!
//! ```text
//! <multistatus xmlns="DAV:"> <response> <href>/jobs/x</href>
//!     <propstat> <prop> <resourcetype><collection/></resourcetype> <getcontentlength>7</getcontentlength> </prop> </propstat>
//! ```
//!
//! Invariants:
//! * Entities are not expanded, but for the five of XML itself and characters by number. What is not well-formed is an error.
//! * Elements are known by their namespace, whatever their prefix. What is not known is passed over, to a bounded depth.

use percent_encoding::percent_decode_str;
use quick_xml::NsReader;
use quick_xml::events::{BytesRef, Event};
use quick_xml::name::{Namespace, ResolveResult};

/// What is asked for.
pub(super) const PROPFIND: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><propfind xmlns=\"DAV:\"><prop><resourcetype/>\
                                   <getcontentlength/></prop></propfind>";
/// Deepest nesting that is read; real answers have six levels.
const DEPTH_MAX: usize = 32;
/// Longest text of one element.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// One resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path on the server, decoded, without a slash at its end.
    pub(super) path: String,
    pub(super) is_folder: bool,
    pub(super) bytes: Option<u64>,
}

/// Reads the document.
pub(super) fn parse(xml: &[u8]) -> Result<Vec<Found>, &'static str> {
    let xml = std::str::from_utf8(xml).map_err(|_| "it is not UTF-8")?;
    let mut reader = NsReader::from_str(xml);
    // Names of the open elements, "" for those of other namespaces.
    let mut open: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut present: Option<Found> = None;
    let mut found = Vec::new();
    let mut whole = false;
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|_| "it is not well-formed")?;
        let is_dav = namespace == ResolveResult::Bound(Namespace(b"DAV:"));
        let name_of = |name: &[u8]| match is_dav {
            true => String::from_utf8_lossy(name).into_owned(),
            false => String::new(),
        };
        match event {
            Event::Start(start) => {
                if open.len() >= DEPTH_MAX {
                    return Err("it is nested too deeply");
                }
                let name = name_of(start.local_name().as_ref());
                if name == "response" {
                    present = Some(Found::default());
                }
                note_folder(&open, &name, present.as_mut());
                open.push(name);
                text.clear();
            }
            Event::Empty(empty) => {
                note_folder(&open, &name_of(empty.local_name().as_ref()), present.as_mut());
            }
            Event::End(_) => {
                let name = open.pop().unwrap_or_default();
                close(&name, &text, &mut present, &mut found)?;
                whole |= name == "multistatus" && open.is_empty();
                text.clear();
            }
            Event::Text(part) => push(&mut text, &part.decode().map_err(|_| "its text is unreadable")?)?,
            Event::CData(part) => push(&mut text, &part.decode().map_err(|_| "its text is unreadable")?)?,
            Event::GeneralRef(reference) => text.push(character(&reference)?),
            Event::DocType(_) => return Err("it has a document type"),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    if whole { Ok(found) } else { Err("it is no whole multistatus document") }
}

/// Takes what a closed element says.
fn close(
    name: &str,
    text: &str,
    present: &mut Option<Found>,
    found: &mut Vec<Found>,
) -> Result<(), &'static str> {
    match (name, present.as_mut()) {
        ("href", Some(entry)) if entry.path.is_empty() => entry.path = path_of(text)?,
        ("getcontentlength", Some(entry)) if !text.trim().is_empty() => {
            entry.bytes = Some(text.trim().parse().map_err(|_| "a length is no number")?);
        }
        ("response", Some(_)) => {
            // One without a path says nothing.
            found.extend(present.take().filter(|entry| !entry.path.is_empty()));
        }
        _ => {}
    }
    Ok(())
}

fn note_folder(open: &[String], name: &str, present: Option<&mut Found>) {
    if name == "collection"
        && open.last().is_some_and(|parent| parent == "resourcetype")
        && let Some(entry) = present
    {
        entry.is_folder = true;
    }
}

fn push(text: &mut String, part: &str) -> Result<(), &'static str> {
    if text.len().saturating_add(part.len()) > TEXT_BYTES_MAX {
        return Err("a text in it is too long");
    }
    text.push_str(part);
    Ok(())
}

fn character(reference: &BytesRef<'_>) -> Result<char, &'static str> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character);
    }
    match reference.as_ref() {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        _ => Err("it uses an entity"),
    }
}

/// The path of a reference, which may be a whole URL. The root is `/`.
fn path_of(href: &str) -> Result<String, &'static str> {
    let href = href.trim();
    let path = match href.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => href,
    };
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| "a path in it is not UTF-8")?;
    if !decoded.starts_with('/') {
        return Err("a path in it is not absolute");
    }
    Ok(match decoded.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_orders_and_encodings_of_real_servers_are_read() {
        // JuiceFS (Go), nginx and Apache write the same in different ways.
        let go = r#"<?xml version="1.0" encoding="UTF-8"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>/x/</D:href><D:propstat><D:prop><D:resourcetype><D:collection xmlns:D="DAV:"/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop><D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response><D:response><D:href>/x/a%7Eb%26</D:href><D:propstat><D:prop><D:resourcetype></D:resourcetype><D:getcontentlength>3</D:getcontentlength></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"#;
        let apache = r#"<?xml version="1.0"?>
            <multistatus xmlns="DAV:" xmlns:ns0="DAV:">
            <response xmlns:lp1="DAV:"><href>http://host:80/x/</href><propstat><prop><lp1:resourcetype><collection/></lp1:resourcetype></prop></propstat></response>
            <response><href><![CDATA[/x/a~b&]]></href><propstat><prop><lp1:getcontentlength xmlns:lp1="DAV:"> 3 </lp1:getcontentlength><other xmlns="urn:x"><collection xmlns="urn:x"/><getcontentlength>7</getcontentlength></other></prop></propstat></response>
            </multistatus>"#;
        for xml in [go, apache] {
            let found = parse(xml.as_bytes()).unwrap();
            assert_eq!(
                found,
                [
                    Found { path: "/x".to_owned(), is_folder: true, bytes: None },
                    Found { path: "/x/a~b&".to_owned(), is_folder: false, bytes: Some(3) }
                ],
                "{xml}"
            );
        }
        let escaped = r#"<m:multistatus xmlns:m="DAV:"><m:response><m:href>/a&amp;b&#47;c</m:href></m:response></m:multistatus>"#;
        assert_eq!(parse(escaped.as_bytes()).unwrap()[0].path, "/a&b/c");
    }

    #[test]
    fn hostile_documents_are_errors() {
        let deep = format!("<multistatus xmlns=\"DAV:\">{}", "<a>".repeat(100));
        let long = format!(
            "<multistatus xmlns=\"DAV:\"><response><href>/{}</href></response></multistatus>",
            "x".repeat(TEXT_BYTES_MAX)
        );
        for xml in [
            "",
            "nonsense",
            "<html></html>",
            "<multistatus xmlns=\"DAV:\">",
            "<multistatus xmlns=\"urn:other\"></multistatus>",
            "<multistatus xmlns=\"DAV:\"></other>",
            "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><multistatus xmlns=\"DAV:\"/>",
            "<multistatus xmlns=\"DAV:\"><response><href>/&file;</href></response></multistatus>",
            "<multistatus xmlns=\"DAV:\"><response><href>../etc</href></response></multistatus>",
            "<multistatus xmlns=\"DAV:\"><response><href>/%ff</href></response></multistatus>",
            "<multistatus xmlns=\"DAV:\"><response><href>/x</href><getcontentlength>-1</getcontentlength></response></multistatus>",
            &deep,
            &long,
        ] {
            assert!(parse(xml.as_bytes()).is_err(), "{xml}");
        }
        assert!(parse(b"\xff\xfe").is_err());
        assert!(
            parse(b"<multistatus xmlns=\"DAV:\"><response></response></multistatus>").unwrap().is_empty()
        );
    }
}
