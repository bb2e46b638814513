//! The receiver operating characteristic as an SVG.

use plotters::prelude::*;

use crate::figures::Figures;

const FONT: &str = "sans-serif";
const SIZE: (u32, u32) = (640, 600);
/// Two that people who see few colours can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0)];

/// The SVG; nothing where there is no curve.
///
/// # Panics
/// Never: a string takes all that is drawn.
pub fn plot(title: &str, figures: &Figures) -> Option<String> {
    figures.roc.as_ref()?;
    let mut svg = String::new();
    draw(&mut svg, title, figures).expect("a string takes all that is drawn");
    Some(svg)
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(svg: &mut String, title: &str, figures: &Figures) -> Drawn {
    let Some(roc) = &figures.roc else { return Ok(()) };
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 20))
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(55)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart
        .configure_mesh()
        .x_desc("share of the others that is kept")
        .y_desc("share of the domain that is kept")
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .light_line_style(TRANSPARENT)
        .draw()?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.3)))?;
    let curve = roc.points.iter().map(|point| (point.false_positive_rate, point.true_positive_rate));
    chart
        .draw_series(LineSeries::new(curve, COLOURS[0].stroke_width(2)))?
        .label(format!("area {:.3}, {} examples", roc.area, figures.examples))
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], COLOURS[0].stroke_width(2)));
    let at = &figures.at_threshold;
    let kept = at.false_positives as f64 / (at.false_positives + at.true_negatives).max(1) as f64;
    let point = Circle::new((kept, at.recall().unwrap_or(0.0)), 5, COLOURS[1].filled());
    let precision = at.precision().map_or("none kept".to_owned(), |precision| format!("precision {precision:.3}"));
    let recall = at.recall().map_or(String::new(), |recall| format!(", recall {recall:.3}"));
    chart
        .draw_series(std::iter::once(point))?
        .label(format!("above {}: {precision}{recall}", at.threshold))
        .legend(|(x, y)| Circle::new((x + 10, y), 5, COLOURS[1].filled()));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, 15))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()
}
