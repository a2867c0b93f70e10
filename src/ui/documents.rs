//! The open documents.

use super::document::{Document, DocumentId};
use std::ops::Deref;

/// The answered questions, the oldest first. Each is reached by its identity; the order changes only when one is added or
/// removed.
#[derive(Debug, Default)]
pub struct Documents(Vec<Document>);

impl Documents {
    /// One of them.
    pub fn get(&self, id: DocumentId) -> Option<&Document> {
        self.0.iter().find(|doc| doc.id == id)
    }

    /// The one at a place.
    pub fn get_at(&self, at: usize) -> Option<&Document> {
        self.0.get(at)
    }

    /// One of them, to be changed.
    pub fn get_mut(&mut self, id: DocumentId) -> Option<&mut Document> {
        self.0.iter_mut().find(|doc| doc.id == id)
    }

    /// Adds one behind the others.
    pub fn add(&mut self, doc: Document) -> DocumentId {
        let id = doc.id;
        self.0.push(doc);
        id
    }

    /// Puts one back at its place.
    pub fn insert(&mut self, at: usize, doc: Document) {
        self.0.insert(at.min(self.0.len()), doc);
    }

    /// Removes one; returns its place with it.
    pub fn remove(&mut self, id: DocumentId) -> Option<(usize, Document)> {
        let at = self.0.iter().position(|doc| doc.id == id)?;
        Some((at, self.0.remove(at)))
    }
}

impl Deref for Documents {
    type Target = [Document];

    fn deref(&self) -> &[Document] {
        &self.0
    }
}
