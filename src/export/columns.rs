//! The columns of a Parquet file of samples: for each shape the schema, and where the values of each column come from.
//!
//! The schema is the same whatever the samples hold. So names that differ from sample to sample (scores, models, prompts) are not fields
//! but lists of `{name, value}`, which Hugging Face `datasets` can read, unlike Parquet's maps.

use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedColumnWriter;
use synthllm_operators::id::Kind;
use synthllm_operators::record::{Node, Sample, SampleDocument};

use crate::Shape;

/// Writes one column of some samples.
pub type Column = Box<dyn Fn(&[Sample], &mut SerializedColumnWriter<'_>) -> Result<()> + Send>;

const RAW: &str = "message sample {
    required binary id (STRING);
    required int32 level;
    required binary question (STRING);
    optional binary answer (STRING);
    required group concepts (LIST) { repeated group list { required binary element (STRING); } }
    required group topics (LIST) { repeated group list { required binary element (STRING); } }
    required group provenance {
        required binary combination (STRING);
        required group walk (LIST) { repeated group list { required group element {
            required binary kind (STRING);
            required binary name (STRING);
        } } }
        required group documents (LIST) { repeated group list { required group element {
            required binary id (STRING);
            required binary version (STRING);
            required double jaccard;
            optional binary source (STRING);
            optional binary license (STRING);
        } } }
        required group models (LIST) { repeated group list { required group element {
            required binary name (STRING);
            required binary value (STRING);
        } } }
        required group prompts (LIST) { repeated group list { required group element {
            required binary name (STRING);
            required binary value (STRING);
        } } }
    }
    required group scores (LIST) { repeated group list { required group element {
        required binary name (STRING);
        required double value;
    } } }
    required group usage {
        required int64 calls;
        required int64 prompt_tokens;
        required int64 completion_tokens;
    }
    required double cost;
}";

const CHAT: &str = "message sample {
    required binary id (STRING);
    required group messages (LIST) { repeated group list { required group element {
        required binary role (STRING);
        required binary content (STRING);
    } } }
}";

const ALPACA: &str = "message sample {
    required binary id (STRING);
    required binary instruction (STRING);
    required binary input (STRING);
    required binary output (STRING);
}";

/// The schema of a shape in Parquet's own notation.
pub fn schema(shape: Shape) -> &'static str {
    match shape {
        Shape::Raw => RAW,
        Shape::Chat => CHAT,
        Shape::Alpaca => ALPACA,
    }
}

/// The columns of a shape, in the order of its schema.
pub fn columns(shape: Shape) -> Vec<Column> {
    match shape {
        Shape::Raw => raw(),
        Shape::Chat => vec![
            text(|sample| &sample.id),
            list::<ByteArrayType>(|_| vec!["user".into(), "assistant".into()]),
            list::<ByteArrayType>(|sample| vec![sample.question.as_str().into(), answer(sample).into()]),
        ],
        Shape::Alpaca => vec![text(|sample| &sample.id), text(|sample| &sample.question), text(|_| ""), text(answer)],
    }
}

fn raw() -> Vec<Column> {
    vec![
        text(|sample| &sample.id),
        one::<Int32Type>(|sample| i32::from(sample.level)),
        text(|sample| &sample.question),
        maybe(|sample| sample.answer.as_deref().map(ByteArray::from)),
        list::<ByteArrayType>(|sample| texts(&sample.concepts)),
        list::<ByteArrayType>(|sample| texts(&sample.topics)),
        text(|sample| &sample.provenance.combination),
        of_walk(|node| if node.kind == Kind::Topic { "topic" } else { "key-concept" }),
        of_walk(|node| &node.name),
        of_documents::<ByteArrayType>(|document| document.id.as_str().into()),
        of_documents::<ByteArrayType>(|document| document.version.as_str().into()),
        of_documents::<DoubleType>(|document| document.jaccard),
        list_of_maybe(|document| document.source.as_deref().map(ByteArray::from)),
        list_of_maybe(|document| document.license.as_deref().map(ByteArray::from)),
        list::<ByteArrayType>(|sample| texts(sample.provenance.models.keys())),
        list::<ByteArrayType>(|sample| texts(sample.provenance.models.values())),
        list::<ByteArrayType>(|sample| texts(sample.provenance.prompts.keys())),
        list::<ByteArrayType>(|sample| texts(sample.provenance.prompts.values())),
        list::<ByteArrayType>(|sample| texts(sample.scores.keys())),
        list::<DoubleType>(|sample| sample.scores.values().copied().collect()),
        one::<Int64Type>(|sample| i64::from(sample.usage.calls)),
        one::<Int64Type>(|sample| sample.usage.prompt_tokens as i64),
        one::<Int64Type>(|sample| sample.usage.completion_tokens as i64),
        one::<DoubleType>(|sample| sample.cost),
    ]
}

fn answer(sample: &Sample) -> &str {
    sample.answer.as_deref().unwrap_or_default()
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<ByteArray> {
    texts.into_iter().map(|text| ByteArray::from(text.as_str())).collect()
}

/// A required text.
fn text(value: impl Fn(&Sample) -> &str + Send + 'static) -> Column {
    one::<ByteArrayType>(move |sample| value(sample).into())
}

fn of_walk(value: impl Fn(&Node) -> &str + Send + 'static) -> Column {
    list::<ByteArrayType>(move |sample| sample.provenance.walk.iter().map(|node| ByteArray::from(value(node))).collect())
}

fn of_documents<T: DataType>(value: impl Fn(&SampleDocument) -> T::T + Send + 'static) -> Column {
    list::<T>(move |sample| sample.provenance.documents.iter().map(&value).collect())
}

/// A required value.
fn one<T: DataType>(value: impl Fn(&Sample) -> T::T + Send + 'static) -> Column {
    Box::new(move |samples, writer| {
        let values: Vec<T::T> = samples.iter().map(&value).collect();
        writer.typed::<T>().write_batch(&values, None, None).map(drop)
    })
}

/// A text that may be null. Its definition level is 1 where it is there.
fn maybe(value: impl Fn(&Sample) -> Option<ByteArray> + Send + 'static) -> Column {
    Box::new(move |samples, writer| {
        let values: Vec<Option<ByteArray>> = samples.iter().map(&value).collect();
        let definitions: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
        let values: Vec<ByteArray> = values.into_iter().flatten().collect();
        writer.typed::<ByteArrayType>().write_batch(&values, Some(&definitions), None).map(drop)
    })
}

/// A list of required values.
fn list<T: DataType>(values: impl Fn(&Sample) -> Vec<T::T> + Send + 'static) -> Column {
    Box::new(move |samples, writer| {
        let lists = samples.iter().map(|sample| values(sample).into_iter().map(|value| (1, Some(value))).collect());
        write_lists::<T>(lists, writer)
    })
}

/// A text of each document, which may be null.
fn list_of_maybe(value: impl Fn(&SampleDocument) -> Option<ByteArray> + Send + 'static) -> Column {
    Box::new(move |samples, writer| {
        let defined = |value: Option<ByteArray>| (1 + i16::from(value.is_some()), value);
        let lists = samples.iter().map(|sample| sample.provenance.documents.iter().map(&value).map(defined).collect());
        write_lists::<ByteArrayType>(lists, writer)
    })
}

/// Lists of values with their definition levels. An empty list is one entry of level 0 without a value; each further entry of
/// a list has the repetition level 1.
fn write_lists<T: DataType>(
    lists: impl Iterator<Item = Vec<(i16, Option<T::T>)>>,
    writer: &mut SerializedColumnWriter<'_>,
) -> Result<()> {
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        let entries = if list.is_empty() { vec![(0, None)] } else { list };
        for (index, (definition, value)) in entries.into_iter().enumerate() {
            repetitions.push(i16::from(index > 0));
            definitions.push(definition);
            values.extend(value);
        }
    }
    writer.typed::<T>().write_batch(&values, Some(&definitions), Some(&repetitions)).map(drop)
}
