//! The bytes of an object on their way out: a list of chunks that is never copied together.

use bytes::Bytes;

/// Chunks that make up one object or one part of it, in order. Cloning shares the chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    chunks: Vec<Bytes>,
}

impl Content {
    /// An object of no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a chunk; an empty one is dropped.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
    }

    /// Length of all chunks together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// True when there is not one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The chunks in order, none of them empty.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Takes the chunks out.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        let mut content = Self::new();
        content.push(bytes);
        content
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<&'static [u8]> for Content {
    fn from(bytes: &'static [u8]) -> Self {
        Self::from(Bytes::from_static(bytes))
    }
}

impl From<Vec<Bytes>> for Content {
    fn from(chunks: Vec<Bytes>) -> Self {
        chunks.into_iter().collect()
    }
}

impl FromIterator<Bytes> for Content {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Self {
        let mut content = Self::new();
        chunks.into_iter().for_each(|chunk| content.push(chunk));
        content
    }
}
