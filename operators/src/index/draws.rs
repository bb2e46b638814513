//! The shards' half of many steps at once.
//!
//! Input: draws that are wanted. Output: the concept of each, in the same order.
//! Law: each is as it would be alone: a document with probability proportional to its static size, then a concept in it, uniform
//! among those that are not `from` (design.md §4). The owner's number chooses the size class by its sum, and where all sizes of
//! the class are equal it tells the document and the concept too; elsewhere both are drawn anew, as if every size were the
//! greatest of the class, until the document has the concept.
//! Cost: a try reads places in memory that nothing has read lately, each found in the one before. Therefore a pass reads one such
//! place for all draws, and the processor waits for many of them at a time.

use super::Index;
use super::postings::Class;
use super::shard::Shard;
use crate::draw::Draw;
use crate::id::ConceptId;
use crate::walk::Step;

/// A draw that is wanted of a shard.
pub(crate) struct Wanted {
    pub(crate) shard: u32,
    pub(crate) from: ConceptId,
    pub(crate) step: Step,
    /// A uniform number below the weight that the shard has told the owner.
    pub(crate) place: u64,
    /// More numbers.
    pub(crate) draw: Draw,
}

/// A draw under way, as far as the passes have come.
pub(super) struct Drawing<'a> {
    shard: &'a Shard,
    from: u32,
    step: Step,
    draw: Draw,
    class: Class,
    /// Below the sum of the class.
    place: u64,
    /// The place of the posting in its class, and of the concept in the document.
    posting: (u32, u32),
    document: u32,
    concepts: &'a [u32],
    drawn: Option<u32>,
}

impl<'a> Drawing<'a> {
    fn new(shard: &'a Shard, from: u32, (class, place): (Class, u64), wanted: Wanted) -> Self {
        let Wanted { step, draw, .. } = wanted;
        Drawing { shard, from, step, draw, class, place, posting: (0, 0), document: 0, concepts: &[], drawn: None }
    }

    /// One number tells the posting, whether the size of its document admits it, and which of its concepts.
    fn posting(&mut self) -> (u32, u32) {
        let width = u64::from(self.class.max_size);
        let mass = self.class.len() * width;
        let place = if self.class.sum == mass { self.place } else { self.draw.below(mass) };
        ((place / width) as u32, (place % width) as u32)
    }

    /// The concept of the place among those that are not `from`, for which the last one stands in; `None` where the document
    /// has too few.
    fn concept(&self) -> Option<u32> {
        let size = self.concepts.len() - usize::from(self.step != Step::TopicConcept);
        let concept = *self.concepts[..size].get(self.posting.1 as usize)?;
        if concept == self.from { self.concepts.last().copied() } else { Some(concept) }
    }
}

/// The concepts drawn.
pub(super) fn draw_all(index: &Index, wanted: Vec<Wanted>) -> Vec<ConceptId> {
    let rows: Vec<Option<u32>> = wanted.iter().map(|wanted| index.concepts.find(wanted.from)).collect();
    let rows: Vec<u32> = rows.into_iter().map(|row| row.expect("a concept that weighs something is known")).collect();
    let head = |(wanted, &row): (&Wanted, &u32)| index.shard(wanted.shard).head(row);
    let heads: Vec<u32> = wanted.iter().zip(&rows).map(head).collect();
    let class = |(wanted, head): (&Wanted, u32)| index.shard(wanted.shard).class_at(head, wanted.step, wanted.place);
    let classes: Vec<(Class, u64)> = wanted.iter().zip(heads).map(class).collect();
    let begin = |((wanted, row), class): ((Wanted, u32), _)| Drawing::new(index.shard(wanted.shard), row, class, wanted);
    let mut drawings: Vec<Drawing> = wanted.into_iter().zip(rows).zip(classes).map(begin).collect();
    finish(drawings.iter_mut().collect());
    let drawn = drawings.iter().map(|drawing| drawing.drawn.expect("the draws go on until each has its concept"));
    drawn.map(|row| index.concepts.id(row)).collect()
}

/// Tries until all have a concept.
fn finish(mut open: Vec<&mut Drawing>) {
    while !open.is_empty() {
        open.iter_mut().for_each(|drawing| drawing.posting = drawing.posting());
        open.iter_mut().for_each(|drawing| drawing.document = drawing.shard.member(&drawing.class, drawing.posting.0));
        open.iter_mut().for_each(|drawing| drawing.concepts = drawing.shard.reachable(drawing.document, drawing.step));
        open.iter_mut().for_each(|drawing| drawing.drawn = drawing.concept());
        open.retain(|drawing| drawing.drawn.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::{ConceptId, Draw, Step, Wanted};
    use crate::draw::{Choice, WalkId};
    use crate::id::Kind;
    use crate::index::Index;
    use crate::record::Pointer;
    use crate::upsert::{Content, Entry};

    #[test]
    fn postings_longer_than_a_chunk_of_memory_are_drawn_evenly() {
        let mut index = Index::new(1);
        for offset in 0..80_000 {
            let here = Pointer { partition: 0, offset };
            let key_concepts = vec![format!("k{}", offset / 10_000)];
            let content = Content { version: here, text: None, topics: vec!["t".into()], key_concepts, capped: false };
            index.upsert(&Entry { document: format!("d{offset}"), partition: 0, offset, content: Some(content) });
        }
        let from = ConceptId::of(Kind::Topic, "t");
        let wanted = |start| {
            let mut draw = Draw::new(WalkId { seed: 1, node: from, start }, 0, 0, Choice::Document);
            Wanted { shard: 0, from, step: Step::TopicConcept, place: draw.below(80_000), draw }
        };
        let mut drawn = index.draw((0..8_000).map(wanted).collect());
        drawn.sort_unstable();
        let counts: Vec<usize> = drawn.chunk_by(|one, other| one == other).map(<[_]>::len).collect();
        assert_eq!(counts.len(), 8);
        // Six standard deviations of 1,000 draws out of 8,000.
        assert!(counts.iter().all(|count| count.abs_diff(1_000) < 180), "{counts:?}");
    }
}
