//! The scripted model server: what it answers is a function of what it is asked.

/// An answer that fits.
pub const FITS: &str = "fits";

/// How many answers are looked at.
pub const ATTEMPTS: u32 = 2;

/// A record whose bytes are no document.
pub const UNDECODABLE: u8 = b'?';

/// A document whose first answer does not fit, and whose second does.
pub const REPAIRED: u8 = b'R';

/// A document, or a combination's question, whose call fails for good.
pub const FAILS: u8 = b'F';

/// Whether a document can't be decoded.
pub fn is_undecodable(content: u8) -> bool {
    content == UNDECODABLE
}

/// The answer about a document; none when the call fails for good.
pub fn extraction(content: u8, attempt: u32) -> Option<&'static str> {
    match (content, attempt) {
        (FAILS, _) => None,
        (REPAIRED, 0) => Some("does not fit"),
        _ => Some(FITS),
    }
}
