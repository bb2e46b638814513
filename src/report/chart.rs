//! The plots, as SVG that stands inside a page: without background, and in colours that are seen on white and on black.

use plotters::prelude::*;

use crate::buckets::Bucket;
use crate::tally::Histogram;

const FONT: &str = "sans-serif";
const SIZE: (u32, u32) = (620, 300);
/// The colour of each level; people who see few colours can tell them apart (Okabe and Ito).
const COLOURS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115)];

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// The histogram of a level.
pub(crate) struct Layer<'a> {
    pub(crate) level: u8,
    pub(crate) histogram: &'a Histogram,
    /// How many values there are, those beyond the bins too.
    pub(crate) count: u64,
}

/// Histograms over each other, as shares of each level. What lies beyond the last bin is not drawn.
pub(crate) fn histograms(layers: &[Layer<'_>], across: &str) -> String {
    let mut svg = String::new();
    layered(&mut svg, layers, across).expect("a string takes all that is drawn");
    svg
}

/// One bar for each bucket.
pub(crate) fn bars(buckets: &[Bucket], across: &str, upward: &str) -> String {
    let mut svg = String::new();
    barred(&mut svg, buckets, across, upward).expect("a string takes all that is drawn");
    svg
}

fn layered(svg: &mut String, layers: &[Layer<'_>], across: &str) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let ends = layers.iter().map(|layer| layer.histogram.from + layer.histogram.width * layer.histogram.counts.len() as f64);
    let from = layers.iter().map(|layer| layer.histogram.from).fold(0.0, f64::min);
    let until = ends.fold(from + f64::EPSILON, f64::max);
    let highest = layers.iter().flat_map(|layer| steps(layer)).map(|(_, share)| share).fold(0.01, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .x_label_area_size(42)
        .y_label_area_size(60)
        .build_cartesian_2d(from..until, 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc(across)
        .y_desc("share")
        .x_label_formatter(&|value| format!("{}", (value * 1e6).round() / 1e6))
        .y_label_formatter(&|share| format!("{:.1} %", 100.0 * share))
        .axis_desc_style((FONT, 15))
        .label_style((FONT, 13))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for layer in layers {
        let colour = COLOURS[crate::level_index(layer.level)];
        let line: Vec<(f64, f64)> = steps(layer).collect();
        chart.draw_series(std::iter::once(Polygon::new(line.clone(), colour.mix(0.15))))?;
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2));
        let line = LineSeries::new(line, colour.stroke_width(2));
        chart.draw_series(line)?.label(format!("level {}", layer.level)).legend(legend);
    }
    let place = SeriesLabelPosition::UpperRight;
    chart.configure_series_labels().position(place).label_font((FONT, 14)).draw()?;
    area.present()
}

/// The outline of a histogram, from the axis and back to it.
fn steps(layer: &Layer<'_>) -> impl Iterator<Item = (f64, f64)> {
    let Histogram { from, width, counts, .. } = layer.histogram;
    let all = layer.count.max(1) as f64;
    let edge = move |bin: usize| from + width * bin as f64;
    let top = counts.iter().enumerate().flat_map(move |(bin, count)| {
        let share = *count as f64 / all;
        [(edge(bin), share), (edge(bin + 1), share)]
    });
    std::iter::once((*from, 0.0)).chain(top).chain(std::iter::once((edge(counts.len()), 0.0)))
}

fn barred(svg: &mut String, buckets: &[Bucket], across: &str, upward: &str) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let highest = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1).max(1) as f64;
    let count = buckets.len().max(1);
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .build_cartesian_2d((0..count - 1).into_segmented(), 0.0..highest * 1.05)?;
    let label = |value: &SegmentValue<usize>| match value {
        SegmentValue::CenterOf(place) => buckets.get(*place).map(range).unwrap_or_default(),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(count)
        .x_label_formatter(&label)
        .x_desc(across)
        .y_desc(upward)
        .y_label_formatter(&|count| format!("{count:.0}"))
        .axis_desc_style((FONT, 15))
        .label_style((FONT, 13))
        .light_line_style(TRANSPARENT)
        .draw()?;
    chart.draw_series(buckets.iter().enumerate().map(|(place, bucket)| {
        let corners = [(SegmentValue::Exact(place), 0.0), (SegmentValue::Exact(place + 1), bucket.count as f64)];
        let mut bar = Rectangle::new(corners, COLOURS[0].mix(0.6).filled());
        bar.set_margin(0, 0, 4, 4);
        bar
    }))?;
    area.present()
}

/// `5`, or `4 to 7`.
pub(crate) fn range(bucket: &Bucket) -> String {
    if bucket.from == bucket.to { bucket.from.to_string() } else { format!("{} to {}", bucket.from, bucket.to) }
}
