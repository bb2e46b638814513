//! What there is to be covered: the live documents, and the nodes of the concept graph with the number of documents that have each.
//!
//! Input: records of `extractions`, one at a time, of which the last of a document counts; `None` is its deletion.
//! Law: equals a recount of the live documents. Cost: 24 bytes a live document and 8 for each of its concepts.

use std::collections::HashMap;

use synthllm_operators::id::{ConceptId, DocumentId, Kind};
use synthllm_operators::upsert::Content;

/// The live documents with the ids of their concepts, topics first.
#[derive(Debug, Default)]
pub struct Graph {
    documents: HashMap<DocumentId, Live>,
}

#[derive(Debug)]
struct Live {
    topics: u32,
    concepts: Box<[ConceptId]>,
}

/// The nodes of one kind, with how many live documents have each.
pub(crate) type Nodes = HashMap<ConceptId, u32>;

impl Graph {
    /// What the last record says of a document.
    pub fn upsert(&mut self, document: DocumentId, content: Option<&Content>) {
        let Some(content) = content else {
            self.documents.remove(&document);
            return;
        };
        let ids = |kind, names: &[String]| names.iter().map(|name| ConceptId::of(kind, name)).collect::<Vec<_>>();
        let concepts = [ids(Kind::Topic, &content.topics), ids(Kind::KeyConcept, &content.key_concepts)].concat();
        let live = Live { topics: content.topics.len() as u32, concepts: concepts.into_boxed_slice() };
        self.documents.insert(document, live);
    }

    /// How many documents live.
    pub fn documents(&self) -> u64 {
        self.documents.len() as u64
    }

    pub(crate) fn lives(&self, document: DocumentId) -> bool {
        self.documents.contains_key(&document)
    }

    /// The nodes: topics, then key concepts.
    pub(crate) fn nodes(&self) -> [Nodes; 2] {
        let mut nodes = [Nodes::new(), Nodes::new()];
        for live in self.documents.values() {
            let (topics, key_concepts) = live.concepts.split_at(live.topics as usize);
            for (nodes, ids) in nodes.iter_mut().zip([topics, key_concepts]) {
                ids.iter().for_each(|id| *nodes.entry(*id).or_default() += 1);
            }
        }
        nodes
    }
}
