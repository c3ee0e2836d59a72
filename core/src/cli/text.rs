//! Bytes and numbers as text, and back.

/// Bytes as printable text: what is not printable ASCII becomes an escape, such as `\n` or `\xff`, a backslash becomes `\\`. Without loss.
pub(super) fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The same, cut after `bytes_max`.
pub(super) fn shortened(bytes: &[u8], bytes_max: usize) -> String {
    match bytes.get(..bytes_max).filter(|cut| cut.len() < bytes.len()) {
        Some(cut) => format!("{}..", escaped(cut)),
        None => escaped(bytes),
    }
}

/// Two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as they are, or of two hexadecimal digits each.
pub(super) fn parse(text: &str, is_hex: bool) -> Result<Vec<u8>, String> {
    if !is_hex {
        return Ok(text.as_bytes().to_vec());
    }
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => {
            Ok(digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect())
        }
        _ => Err(format!("{text:?} is not hexadecimal: two digits a byte are needed, as in 6b6579")),
    }
}

/// For clap: bytes with an optional binary unit, as in `268435456` or `256MiB`.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let (digits, unit) =
        trimmed.split_at(trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len()));
    let number: u64 = digits.parse().map_err(|_| "a number of bytes is needed, as in 268435456 or 256MiB")?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("unknown unit {other:?}: bytes, KiB, MiB and GiB are understood")),
    };
    number.checked_mul(factor).ok_or_else(|| "more bytes than there are addresses".to_owned())
}

/// Bytes for people.
pub(super) fn human(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A number for people: thousands apart.
pub(super) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_text_and_as_hex() {
        assert_eq!(parse("k\\y", false).unwrap(), b"k\\y");
        assert_eq!(parse("00ff6B", true).unwrap(), [0, 255, b'k']);
        assert_eq!(parse("", true).unwrap(), b"");
        for wrong in ["0", "0g", "k\u{f6}"] {
            assert!(parse(wrong, true).unwrap_err().contains("not hexadecimal"), "{wrong}");
        }
        assert_eq!(hex(&[0, 255, b'k']), "00ff6b");
    }

    #[test]
    fn bytes_are_shown_without_loss_and_shortened_with_a_sign() {
        assert_eq!(escaped(b"a\n\\\xff"), "a\\n\\\\\\xff");
        assert_eq!((shortened(b"abcd", 2).as_str(), shortened(b"abcd", 4).as_str()), ("ab..", "abcd"));
    }

    #[test]
    fn units_are_understood() {
        assert_eq!(
            (parse_bytes("7"), parse_bytes("4 KiB"), parse_bytes("1GiB")),
            (Ok(7), Ok(4096), Ok(1 << 30))
        );
        for wrong in ["", "MiB", "-1", "1MB", "99999999999GiB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
