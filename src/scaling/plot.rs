//! The curves with their points and intervals, as an SVG with logarithmic axes.

use plotters::coord::ranged1d::{KeyPointHint, Ranged};
use plotters::prelude::*;

use crate::interval::Bootstrap;
use crate::model::{Model, ModelError};
use crate::predict::{Predicted, Prediction, predict};
use crate::read::Table;
use crate::report::range;

const FONT: &str = "sans-serif";
const SIZE: (u32, u32) = (900, 560);
/// At how many amounts of tokens a curve and its interval are computed.
const STEPS: u32 = 40;
/// Colours that people who see few colours can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// The SVG. Curves go on to `until` tokens, or to twice the most that were measured.
pub fn plot(table: &Table, model: &Model, bootstrap: Option<&Bootstrap>, until: Option<f64>) -> Result<String, ModelError> {
    // Only of points that can be fitted is there a range.
    model.problems(&table.series)?;
    let ranges = table.series.iter().map(range);
    let (least, most) =
        ranges.fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), (low, high)| (least.min(low), most.max(high)));
    let most = until.unwrap_or(2.0 * most).max(1.05 * least);
    let step = |i| least * (most / least).powf(f64::from(i) / f64::from(STEPS));
    let tokens: Vec<f64> = (0..=STEPS).map(step).collect();
    let curves = predict(table, model, &tokens, bootstrap)?.series;
    Ok(drawn(table, model, &curves))
}

fn drawn(table: &Table, model: &Model, curves: &[Predicted]) -> String {
    let mut svg = String::new();
    draw(&mut svg, table, model, curves).expect("a string takes all that is drawn");
    svg
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(svg: &mut String, table: &Table, model: &Model, curves: &[Predicted]) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let tokens: Vec<f64> = curves[0].predictions.iter().map(|prediction| prediction.tokens).collect();
    let across = Axis::of(tokens[0] / 1.1, tokens[tokens.len() - 1] * 1.1);
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{} law", model.law.name()), (FONT, 22))
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(60)
        .build_cartesian_2d(across, upward(table, curves))?;
    chart
        .configure_mesh()
        .x_desc("tokens")
        .y_desc(format!("error ({})", table.unit.name()))
        .x_label_formatter(&|tokens| format!("{tokens:e}"))
        .y_label_formatter(&|error| format!("{}", (error * 1e6).round() / 1e6))
        .axis_desc_style((FONT, 17))
        .label_style((FONT, 15))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (i, (series, curve)) in table.series.iter().zip(curves).enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        chart.draw_series(std::iter::once(Polygon::new(band(curve), colour.mix(0.15))))?;
        let line = curve.predictions.iter().map(|prediction| (prediction.tokens, prediction.error));
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        let points = series.points.iter().map(|point| Circle::new((point.tokens, point.error), 4, colour.filled()));
        let legend = move |(x, y)| Circle::new((x + 10, y), 4, colour.filled());
        chart.draw_series(points)?.label(&series.name).legend(legend);
    }
    let legend = SeriesLabelPosition::UpperRight;
    chart
        .configure_series_labels()
        .position(legend)
        .label_font((FONT, 16))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()
}

/// The lower ends forwards and the upper ends backwards.
fn band(curve: &Predicted) -> Vec<(f64, f64)> {
    let ends = |prediction: &Prediction| {
        let interval = prediction.interval?;
        Some((prediction.tokens, interval.low, interval.high.unwrap_or(f64::MAX)))
    };
    let ends: Vec<_> = curve.predictions.iter().filter_map(ends).collect();
    let low = ends.iter().map(|(tokens, low, _)| (*tokens, *low));
    low.chain(ends.iter().rev().map(|(tokens, _, high)| (*tokens, *high))).collect()
}

/// The axis of errors: all points and curves, and of the intervals as much as leaves these room.
fn upward(table: &Table, curves: &[Predicted]) -> Axis {
    let points = table.series.iter().flat_map(|series| &series.points).map(|point| point.error);
    let lines = curves.iter().flat_map(|curve| &curve.predictions).map(|prediction| prediction.error);
    let bounds = |(low, high): (f64, f64), error: f64| (low.min(error), high.max(error));
    let (low, high) = points.chain(lines).fold((f64::INFINITY, 0.0), bounds);
    let room = (high / low).sqrt().max(1.1);
    let seen = curves.iter().flat_map(band).map(|(_, error)| error.clamp(low / room, high * room));
    let (low, high) = seen.fold((low, high), bounds);
    Axis::of(low / 1.05, high * 1.05)
}

/// A logarithmic axis whose marks are 1, 2 and 5 times a power of ten, or finer where these are too few.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn of(low: f64, high: f64) -> Self {
        Axis { low, high }
    }

    fn marks(&self, digits: &[f64]) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let all = (first..=last).flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        all.filter(|mark| (self.low..=self.high).contains(mark)).collect()
    }
}

impl Ranged for Axis {
    type FormatOption = plotters::coord::ranged1d::DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let inside = value.clamp(self.low, self.high);
        let share = (inside / self.low).ln() / (self.high / self.low).ln();
        start + (share * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let fine: Vec<f64> = (20..200).map(|tenth| f64::from(tenth) / 20.0).collect();
        let scales: [&[f64]; 5] = [
            &fine,
            &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            &[1.0, 2.0, 3.0, 5.0],
            &[1.0, 2.0, 5.0],
            &[1.0],
        ];
        let marks = scales.map(|digits| self.marks(digits));
        let most = hint.max_num_points().min(10);
        let fit = marks.iter().find(|marks| marks.len() <= most);
        fit.unwrap_or(&marks[4]).clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}
