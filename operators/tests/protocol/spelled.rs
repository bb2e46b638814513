//! Hashes what has no hash of its own by how it is spelled.

use std::fmt::{Debug, Write};
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

/// Something that is recognised by how `Debug` spells it.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Spelled<T>(pub T);

struct Speller<'h, H>(&'h mut H);

impl<H: Hasher> Write for Speller<'_, H> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl<T: Debug> Hash for Spelled<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        write!(Speller(state), "{:?}", self.0).expect("a hasher takes everything");
    }
}

impl<T> Deref for Spelled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Spelled<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
