//! What `scaling` prints for people.

use std::fmt::{Error, Write};

use synthllm_scaling::{
    Basis, Choice, Criterion, Doubling, Fitted, HeldOut, Interval, Law, Outside, Predictions, Report, Score,
};

/// The text of `scaling fit`.
pub fn of_report(report: &Report) -> Result<String, Error> {
    let mut text = basis(&report.basis)?;
    for fitted in &report.series {
        series(&mut text, fitted, &report.basis)?;
    }
    Ok(text)
}

/// The text of `scaling predict`.
pub fn of_predictions(predictions: &Predictions) -> Result<String, Error> {
    let mut text = basis(&predictions.basis)?;
    for series in &predictions.series {
        writeln!(text, "\n{}", series.series)?;
        writeln!(text, "  {:<12}{:<12}{:<26}outside the measured", "tokens", "error", level(&predictions.basis))?;
        for one in &series.predictions {
            let outside = match one.outside {
                None => "no".into(),
                Some(Outside::TimesMost(times)) => format!("{} times the most", number(times)),
                Some(Outside::TimesBelowLeast(times)) => format!("{} times below the least", number(times)),
            };
            writeln!(text, "  {:<12}{:<12}{:<26}{outside}", number(one.tokens), number(one.error), interval(one.interval))?;
        }
    }
    Ok(text)
}

fn basis(basis: &Basis) -> Result<String, Error> {
    let formula = match basis.law {
        Law::Rectified => "B / (D_l + tokens^beta) + E",
        Law::Power => "B / tokens^beta + E",
    };
    let mut text = format!("{} law: error = {formula}, fitted by {}\n", basis.law.name(), basis.objective.phrase());
    let assumed = if basis.unit_assumed { " (assumed; say it with --unit)" } else { "" };
    writeln!(text, "unit of the error: {}{assumed}", basis.unit.name())?;
    if basis.shared_beta {
        writeln!(text, "all series have one beta")?;
    }
    basis.given.iter().try_for_each(|given| writeln!(text, "given: {given}"))?;
    Ok(text)
}

fn series(text: &mut String, fitted: &Fitted, basis: &Basis) -> Result<(), Error> {
    let (least, most) = fitted.tokens;
    let range = format!("{} to {} tokens", number(least), number(most));
    writeln!(text, "\n{}: {} points, {range}, rms of logarithms {}", fitted.series, fitted.points, number(fitted.rms_log))?;
    writeln!(text, "{}", format!("  {:<8}{:<14}{}", "", "value", level(basis)).trim_end())?;
    let (parameters, intervals) = (&fitted.parameters, &fitted.intervals);
    let rows = [
        ("B", parameters.b, intervals.b),
        ("D_l", parameters.d_l, intervals.d_l),
        ("beta", parameters.beta, intervals.beta),
        ("E", parameters.e, intervals.e),
    ];
    for (name, value, of_value) in rows.into_iter().filter(|(name, ..)| basis.law == Law::Rectified || *name != "D_l") {
        let line = format!("  {name:<8}{:<14}{}", number(value), interval(of_value));
        writeln!(text, "{}", line.trim_end())?;
    }
    doubling(text, &fitted.doubling)?;
    held_out(text, &fitted.held_out.points)?;
    choice(text, &fitted.choice)
}

fn doubling(text: &mut String, doubling: &Doubling) -> Result<(), Error> {
    let points = match doubling.points.to_string().as_str() {
        "1" => "1 point".into(),
        number => format!("{number} points"),
    };
    match doubling.tokens {
        None => writeln!(text, "  no doubling brings {points}"),
        Some(tokens) => {
            let range = doubling.interval.map(|range| format!(" ({})", interval(Some(range)))).unwrap_or_default();
            writeln!(text, "  a doubling brings less than {points} from {} tokens on{range}", number(tokens))
        }
    }
}

fn held_out(text: &mut String, points: &[HeldOut]) -> Result<(), Error> {
    if points.is_empty() {
        return writeln!(text, "  too few points to hold one out");
    }
    points.iter().try_for_each(|HeldOut { tokens, measured, predicted }| {
        let [tokens, predicted, measured] = [tokens, predicted, measured].map(|value| number(*value));
        writeln!(text, "  held out: at {tokens} tokens predicted {predicted}, measured {measured}")
    })
}

fn choice(text: &mut String, choice: &Choice) -> Result<(), Error> {
    let (Some(law), Some(by)) = (choice.law, choice.by) else {
        return writeln!(text, "  too little to choose between the rectified and the power law");
    };
    let (name, value): (_, fn(&Score) -> Option<f64>) = match by {
        Criterion::Aicc => ("AICc", |score| score.aicc),
        Criterion::HeldOut => ("held-out error", |score| score.held_out_rms_log),
    };
    let shown = |score: &Score| value(score).map_or_else(|| "unknown".to_owned(), number);
    let values = format!("{} rectified, {} power", shown(&choice.rectified), shown(&choice.power));
    writeln!(text, "  better law: {}, by {name} ({values})", law.name())
}

fn level(basis: &Basis) -> String {
    basis.level.map(|level| format!("{} % interval", (level * 1000.0).round() / 10.0)).unwrap_or_default()
}

fn interval(interval: Option<Interval>) -> String {
    match interval {
        None => String::new(),
        Some(Interval { low, high: Some(high) }) => format!("{} to {}", number(low), number(high)),
        Some(Interval { low, high: None }) => format!("{} and more", number(low)),
    }
}

/// Four digits, with an exponent where the number is large or small.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if !(-1..=7).contains(&digits) {
        let text = format!("{value:.3e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    trimmed(&format!("{value:.*}", digits.max(0) as usize)).to_owned()
}

/// Without zeros at the end of a fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}
