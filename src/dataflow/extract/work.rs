//! A document on its way through the stage, and what is to be done about it next.
//!
//! Law: what is next depends on the document, on what is at hand of it, and on the settings of screening alone. A text is read, a
//! text embedded and the model asked only where nothing at hand can stand in for it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use synthllm_log::LogName;
use synthllm_operators::id::{self, DocumentId};
use synthllm_operators::journal::Hit;
use synthllm_operators::near::twins::Verdict;
use synthllm_operators::record::{
    Answer, Document, Extracted, Extraction, ExtractionHead, JournalKey, Origin, Pointer, Scored, ScoredBy, place_of,
    screenings_of, version,
};
use synthllm_operators::revise::Known;
use synthllm_operators::screen::Reason;

use super::super::inquiry::Inquiry;
use super::super::screen::Screen;
use super::decision::Charged;

/// Which record a document is decided for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) origin: Origin,
    pub(super) id: DocumentId,
    pub(super) key: Vec<u8>,
    /// The bytes as they came, for a dead letter.
    pub(super) payload: Vec<u8>,
    pub(super) hits: Vec<Hit>,
    /// How often the shard has been screened again.
    pub(super) screenings: u64,
    /// Of a stored document, which is no input record: the offset in `documents` that it came from.
    pub(super) stored: Option<u64>,
}

impl About {
    /// What is asked about it is asked under this name.
    pub(super) fn subject(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }

    /// Whether it is a stored document, and no input record.
    pub(super) fn is_stored(&self) -> bool {
        self.stored.is_some()
    }
}

/// A document as the logs have it, to be screened again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Its record in `scores`; nothing where it was never screened.
    pub(super) place: Option<Pointer>,
    /// What is known of it, as a record of `scores`.
    pub(super) scored: Scored,
}

impl Stored {
    /// A document that was never screened, from its extraction.
    pub(super) fn of_extraction(extraction: Extraction) -> Self {
        let (head, extracted) = (ExtractionHead::from(&extraction), extraction.extracted());
        let own = extracted.is_none();
        let Extraction { topics, key_concepts, source, url, license, .. } = extraction;
        let (topics, concepts) = if own { (topics, key_concepts) } else { (Vec::new(), Vec::new()) };
        let document = Document { topics, concepts, source, url, license, redo: head.redo, ..Document::default() };
        let scored = Scored {
            head,
            rejected: None,
            by: ScoredBy::default(),
            text_hash: 0,
            score: None,
            embedding: Vec::new(),
            embedded_by: 0,
            document,
            extracted,
            answers: Vec::new(),
        };
        Stored { place: None, scored }
    }
}

/// The text of a document.
pub(super) enum Text {
    /// At hand; a document may have none.
    Here(Option<String>),
    /// In `texts`.
    At(Pointer),
}

/// The embedding of a document's text.
pub(super) enum Embedding {
    /// Not known.
    Missing,
    /// At hand.
    Here(Vec<f32>),
    /// In this record of `scores`, with what a model has said of the text; if it has them.
    At(Pointer),
}

/// What the limits of texts say of a document.
#[derive(Clone, Copy)]
pub(super) enum Checked {
    /// They were not looked at.
    NotYet,
    Passes,
    Fails(Reason),
}

impl Checked {
    fn of(reason: Option<Reason>) -> Self {
        reason.map_or(Checked::Passes, Checked::Fails)
    }
}

/// What is to be done about a document.
pub(super) enum Next {
    /// Read a record of a log.
    Read(LogName, Pointer),
    /// Ask whether an earlier document has an equal or similar text.
    Compare,
    /// Have a text embedded.
    Embed(String),
    /// It is not let in.
    Reject(Reason),
    /// It is let in.
    LetIn,
}

/// A document on its way.
pub(super) struct Work {
    pub(super) about: About,
    pub(super) document: Document,
    pub(super) known: Known,
    pub(super) text: Text,
    /// Where the text of a stored document is.
    pub(super) text_at: Option<Pointer>,
    pub(super) text_hash: u128,
    /// Whether it has been let in before, and not changed since.
    pub(super) stands: bool,
    /// Of a stored document: what was said of it, and by which settings.
    pub(super) was: Option<(Option<Reason>, ScoredBy)>,
    /// What the limits of texts say of it.
    pub(super) checked: Checked,
    /// What the texts of other documents say of it.
    pub(super) verdict: Option<Verdict>,
    /// Whether it is decided again only to be rejected.
    pub(super) only_out: bool,
    pub(super) embedding: Embedding,
    /// The digest of what made the embedding.
    pub(super) embedded_by: u64,
    pub(super) score: Option<f64>,
    /// What a model said of its concepts when it was let in before.
    pub(super) extracted: Option<Extracted>,
    /// What a model has answered about its concepts, with what was asked.
    pub(super) answers: Vec<(JournalKey, Answer)>,
    /// What of all that its outcome is to be charged with.
    pub(super) charged: Charged,
    /// What is asked of the model.
    pub(super) inquiry: Option<Inquiry>,
}

impl Work {
    /// A document that has come, or come with another content.
    pub(super) fn new(about: About, mut document: Document, known: Known) -> Self {
        let text = document.text.take();
        document.metadata.clear();
        let text_hash = id::digest(text.as_deref().unwrap_or_default().as_bytes());
        Work {
            about,
            document,
            known,
            text: Text::Here(text),
            text_at: None,
            text_hash,
            stands: false,
            was: None,
            checked: Checked::NotYet,
            verdict: None,
            only_out: false,
            embedding: Embedding::Missing,
            embedded_by: 0,
            score: None,
            extracted: None,
            answers: Vec::new(),
            charged: Charged::default(),
            inquiry: None,
        }
    }

    /// A stored document. What the present settings would say of it in the same way is not done again.
    pub(super) fn again(about: About, scored: Scored, screen: &Screen) -> Self {
        let (by, now) = (scored.by, screen.by());
        let stands = scored.rejected.is_none();
        let by_checks = scored.rejected.filter(|reason| reason.is_of_limits());
        let mut work = Work {
            about,
            known: scored.head.into(),
            text: scored.head.text.map_or(Text::Here(None), Text::At),
            text_at: scored.head.text,
            text_hash: if scored.head.text.is_some() { scored.text_hash } else { id::digest(b"") },
            stands,
            was: Some((scored.rejected, by)),
            checked: if by.checks == now.checks { Checked::of(by_checks) } else { Checked::NotYet },
            verdict: None,
            only_out: false,
            embedding: Embedding::Missing,
            embedded_by: 0,
            score: scored.score.filter(|_| by.judge == now.judge),
            document: scored.document,
            extracted: scored.extracted,
            answers: scored.answers,
            charged: Charged::default(),
            inquiry: None,
        };
        work.take_numbers(scored.embedding, scored.embedded_by, screen);
        work
    }

    /// Takes the embedding that is stored, unless another model is named now.
    fn take_numbers(&mut self, embedding: Vec<f32>, by: u64, screen: &Screen) {
        let is_good = !embedding.is_empty() && (!screen.embeds() || by == screen.by().embedder);
        (self.embedding, self.embedded_by) =
            if is_good { (Embedding::Here(embedding), by) } else { (Embedding::Missing, 0) };
    }

    /// Takes what its last record in `scores` has of the same text.
    pub(super) fn take(&mut self, scored: Option<Scored>, screen: &Screen) {
        let Some(scored) = scored else { return self.embedding = Embedding::Missing };
        self.take_numbers(scored.embedding, scored.embedded_by, screen);
        self.extracted = scored.extracted.filter(|_| scored.head.redo == self.known.redo);
        self.answers = scored.answers;
    }

    /// What is next, until it is let in or rejected.
    pub(super) fn next(&mut self, screen: &Screen) -> Next {
        if screen.is_off() {
            return self.let_in();
        }
        if let (Checked::NotYet, Text::At(place)) = (self.checked, &self.text) {
            return Next::Read(LogName::Texts, *place);
        }
        if let (Checked::NotYet, Text::Here(text)) = (self.checked, &self.text) {
            self.checked = Checked::of(screen.check(text.as_deref()));
        }
        if let Checked::Fails(reason) = self.checked {
            return self.stay_out(reason);
        }
        if self.verdict.is_none() && self.has_text() {
            return Next::Compare;
        }
        if let Some(reason) = self.verdict.and_then(Verdict::reason).or(self.too_late()) {
            return self.stay_out(reason);
        }
        if !screen.embeds() {
            return self.let_in();
        }
        match (&self.embedding, &self.text) {
            (Embedding::At(place), _) => return Next::Read(LogName::Scores, *place),
            (Embedding::Here(numbers), _) => {
                if let Some((score, is_let_in)) = screen.judge(numbers) {
                    self.score = Some(score);
                    return if is_let_in { Next::LetIn } else { self.stay_out(Reason::Score) };
                }
            }
            (Embedding::Missing, _) => {}
        }
        match &self.text {
            Text::At(place) => Next::Read(LogName::Texts, *place),
            Text::Here(text) => Next::Embed(screen.cut(text.as_deref().unwrap_or_default()).unwrap_or_default().to_owned()),
        }
    }

    /// It is let in without a look at its embedding: what its last record has is kept.
    fn let_in(&self) -> Next {
        if let Embedding::At(place) = self.embedding { Next::Read(LogName::Scores, place) } else { Next::LetIn }
    }

    /// It is not let in, but may be some day: what its last record has is kept, and what the journal has for its calls, which depend on
    /// its text.
    fn stay_out(&self, reason: Reason) -> Next {
        match (&self.embedding, &self.text) {
            (Embedding::At(place), _) => Next::Read(LogName::Scores, *place),
            (_, Text::At(place)) if !self.about.hits.is_empty() => Next::Read(LogName::Texts, *place),
            _ => Next::Reject(reason),
        }
    }

    /// One that was to go out, is out, and may come in after all, was told so too late: it stays as it is, and will be told again.
    fn too_late(&self) -> Option<Reason> {
        let was = self.was.and_then(|(reason, _)| reason);
        was.filter(|_| self.only_out && !self.stands)
    }

    /// The answers that are there about it: those of the journal, and those that were kept.
    pub(super) fn take_hits(&mut self) -> Vec<Hit> {
        let mut hits = std::mem::take(&mut self.about.hits);
        hits.extend(self.answers.iter().map(|(key, answer)| Hit { key: key.clone(), offset: 0, answer: answer.clone() }));
        hits
    }

    /// Takes an answer about its concepts. Where it has none yet with this key, it is new.
    pub(super) fn take_answer(&mut self, key: &JournalKey, answer: &Answer) {
        if !self.answers.iter().any(|(known, _)| known == key) {
            self.charged.extracted.add(answer);
            self.answers.push((key.clone(), answer.clone()));
        }
    }

    /// Whether there is a text that could be like another.
    pub(super) fn has_text(&self) -> bool {
        !matches!(self.text, Text::Here(None))
    }

    /// The text has been read.
    pub(super) fn read(&mut self, text: String) {
        self.text_hash = id::digest(text.as_bytes());
        self.text = Text::Here(Some(text));
    }

    /// A stored document that was rejected comes back: as a new one, younger than all that stood on it before.
    pub(super) fn come_back(&mut self) {
        let screenings = self.about.screenings.max(screenings_of(self.known.version) + 1);
        let now = version(place_of(self.known.version), screenings);
        self.known = Known { version: now, since: now, redone: now, ..self.known };
    }

    /// Its record in `scores`. The place of a new text is not known yet.
    pub(super) fn scored(&self, rejected: Option<Reason>, screen: &Screen) -> Scored {
        let Known { content_hash, version, since, redo, redone } = self.known;
        let embedding = if let Embedding::Here(numbers) = &self.embedding { numbers.clone() } else { Vec::new() };
        Scored {
            head: ExtractionHead { text: self.text_at, version, since, redo, redone, content_hash },
            rejected,
            by: screen.by(),
            text_hash: self.text_hash,
            score: self.score.filter(|_| rejected.is_none_or(|reason| reason == Reason::Score)),
            embedding,
            embedded_by: self.embedded_by,
            document: self.document.clone(),
            extracted: self.extracted.clone(),
            answers: self.answers.clone(),
        }
    }

    /// What a dead letter has of it: the record as it came, or what the logs have of it.
    pub(super) fn payload(&self) -> Vec<u8> {
        if !self.about.is_stored() {
            return self.about.payload.clone();
        }
        let Document { topics, concepts, source, url, license, .. } = &self.document;
        let text = if let Text::Here(text) = &self.text { text.as_deref() } else { None };
        let mut fields = serde_json::json!({
            "text": text, "topics": topics, "concepts": concepts, "source": source, "url": url, "license": license,
        });
        fields.as_object_mut().into_iter().for_each(|fields| fields.retain(|_, value| !value.is_null()));
        fields.to_string().into_bytes()
    }
}
