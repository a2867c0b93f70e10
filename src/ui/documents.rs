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

    /// Removes one; returns the one that is seen in its place, the next or else the last.
    pub fn remove(&mut self, id: DocumentId) -> Option<DocumentId> {
        let at = self.0.iter().position(|doc| doc.id == id)?;
        self.0.remove(at);
        self.0.get(at).or_else(|| self.0.last()).map(|doc| doc.id)
    }
}

impl Deref for Documents {
    type Target = [Document];

    fn deref(&self) -> &[Document] {
        &self.0
    }
}
