//! Putting an input together.

/// Writes what [`crate::Input`] reads.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    /// Adds bytes as they are: numbers little-endian, or all that is left.
    #[must_use]
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self
    }

    /// Adds a piece with its length.
    ///
    /// # Panics
    /// When it has more than 65,535 bytes.
    #[must_use]
    pub fn piece(self, bytes: impl AsRef<[u8]>) -> Self {
        let length = u16::try_from(bytes.as_ref().len()).expect("seeds are small");
        self.bytes(length.to_le_bytes()).bytes(bytes)
    }

    /// The input.
    #[must_use]
    pub fn done(self) -> Vec<u8> {
        self.bytes
    }
}
