//! Draws the results of a bench.

use std::fmt::Display;
use std::time::{Duration, UNIX_EPOCH};

use plotters::coord::Shift;
use plotters::prelude::*;
use sok::error::{Error, ErrorKind, Result};

use super::bench::{bytes, figure, time};
use crate::bench::{BenchReport, Measure, Measurement};

const WIDTH: u32 = 960;
const HEAD: u32 = 76;
const ROW: u32 = 340;
/// The width of the curves, in a row that has them; the bars have the rest.
const CURVES: u32 = 600;
/// The width of each bar in a row without curves, and of the margins.
const BAR: u32 = 44;
const AROUND_BARS: u32 = 64;
const FONT: &str = "sans-serif";
/// Colours that colour-blind readers can distinguish.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x77, 0xbb),
    RGBColor(0xee, 0x77, 0x33),
    RGBColor(0x00, 0x99, 0x88),
    RGBColor(0xcc, 0x33, 0x11),
    RGBColor(0x33, 0xbb, 0xee),
    RGBColor(0xee, 0x33, 0x77),
    RGBColor(0x88, 0x88, 0x88),
];
/// The width of a letter of the legend, of its titles, and of the names of the bars.
const LETTER: i32 = 8;
const WIDE_LETTER: i32 = 9;
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const PALE: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a row for each measure: the percentiles as a curve for each family, and a bar for each.
pub(crate) fn draw(report: &BenchReport) -> Result<String> {
    let rows: Vec<(Measure, Vec<&Measurement>)> =
        [Measure::Rtt, Measure::Connect, Measure::Throughput]
            .into_iter()
            .map(|measure| {
                let all = report.results.iter();
                (measure, all.filter(|one| one.measure == measure).collect())
            })
            .filter(|(_, outcomes): &(_, Vec<_>)| !outcomes.is_empty())
            .collect();
    let height = rows
        .iter()
        .map(|(_, outcomes)| row_height(outcomes))
        .sum::<u32>()
        + HEAD;
    let mut svg = String::new();
    draw_into(&mut svg, height, &rows, report)?;
    Ok(svg)
}

fn row_height(outcomes: &[&Measurement]) -> u32 {
    let bars = BAR * u32::try_from(outcomes.len()).unwrap_or(0) + AROUND_BARS;
    match outcomes.iter().any(|one| one.times.is_some()) {
        true => ROW.max(bars),
        false => bars,
    }
}

fn draw_into(
    svg: &mut String,
    height: u32,
    rows: &[(Measure, Vec<&Measurement>)],
    report: &BenchReport,
) -> Result<()> {
    let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let (head, mut rest) = root.split_vertically(HEAD);
    text(&head, "The cost of a socket, by family", (24, 14), 24, INK)?;
    text(&head, &circumstances(report), (24, 46), 14, INK)?;
    for (measure, outcomes) in rows {
        let (row, below) = rest.split_vertically(row_height(outcomes));
        rest = below;
        let bars_area = match outcomes.iter().any(|one| one.times.is_some()) {
            true => {
                let (left, right) = row.split_horizontally(CURVES);
                curves(&left, *measure, outcomes)?;
                right
            }
            false => row,
        };
        bars(&bars_area, *measure, outcomes)?;
    }
    root.present().map_err(failed)
}

/// The machine, the date and the plan.
fn circumstances(report: &BenchReport) -> String {
    let began = UNIX_EPOCH + Duration::try_from_secs_f64(report.began).unwrap_or_default();
    let date = humantime::format_rfc3339_seconds(began).to_string();
    let date = date.split('T').next().unwrap_or_default().to_owned();
    let (machine, plan) = (&report.machine, &report.plan);
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let mut parts = vec![
        counted(machine.cpus, "processor"),
        machine.architecture.to_owned(),
        format!("Linux {}", machine.kernel),
        date,
        counted(plan.connections, "connection"),
    ];
    if let Some(rate) = plan.rate {
        parts.push(format!("{rate} a second"));
    }
    if plan.spin {
        parts.push("polling for round trips".to_owned());
    }
    parts.join(", ")
}

fn title(measure: Measure, outcomes: &[&Measurement]) -> String {
    let size = bytes(outcomes[0].size);
    match measure {
        Measure::Rtt => format!("Round trip of {size}"),
        Measure::Connect => "Connect, first message and echo".to_owned(),
        Measure::Throughput => format!("Throughput, {size} a send"),
    }
}

/// The percentiles of each outcome, drawn so that each further nine has the same width and each
/// power of ten the same height; both in thousandths.
fn curves(area: &Area<'_>, measure: Measure, outcomes: &[&Measurement]) -> Result<()> {
    text(area, &title(measure, outcomes), (24, 8), 17, INK)?;
    let counts = outcomes.iter().map(|one| one.samples.count());
    let most = counts.map(nines_of).max().unwrap_or(1);
    let times = || outcomes.iter().filter_map(|one| one.times);
    let below = times().map(|times| times.min_ns.max(1).ilog10()).min();
    let above = times().map(|times| times.max_ns.max(1).ilog10() + 1).max();
    let (below, above) = (below.unwrap_or(0), above.unwrap_or(1));
    let mut chart = ChartBuilder::on(area)
        .margin_top(38)
        .margin_right(28)
        .margin_left(12)
        .margin_bottom(8)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0..thousandths(most), thousandths(below)..thousandths(above))
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_labels(most as usize + 1)
        .y_labels((above - below) as usize + 1)
        .x_label_formatter(&|at| percentile(at / 1000))
        .y_label_formatter(&|at| power(at / 1000))
        .x_desc("percentile")
        .y_desc("time")
        .label_style((FONT, 13).into_font().color(&INK))
        .axis_desc_style((FONT, 13).into_font().color(&INK))
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(failed)?;
    for (outcome, colour) in outcomes.iter().zip(COLOURS.iter().cycle()) {
        let curve = PathElement::new(points(outcome), colour.stroke_width(2));
        chart.draw_series([curve]).map_err(failed)?;
    }
    // The legend, at the right end of the title's line; without room for it, the bars beside have
    // the same colours.
    let names = outcomes.iter().map(|one| length(one.form()));
    let wide: i32 = names.map(|letters| LETTER * letters + 34).sum();
    let room = CURVES.cast_signed() - 52 - WIDE_LETTER * length(&title(measure, outcomes));
    if wide > room {
        return Ok(());
    }
    let mut right = CURVES.cast_signed() - 28;
    let coloured: Vec<_> = outcomes.iter().zip(COLOURS.iter().cycle()).collect();
    for (outcome, colour) in coloured.into_iter().rev() {
        let name = outcome.form();
        right -= LETTER * length(name) + 34;
        let line = PathElement::new([(right, 17), (right + 20, 17)], colour.stroke_width(3));
        area.draw(&line).map_err(failed)?;
        text(area, name, (right + 26, 10), 14, INK)?;
    }
    Ok(())
}

fn length(text: &str) -> i32 {
    i32::try_from(text.len()).unwrap_or(0)
}

fn thousandths(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(0) * 1000
}

/// The number of nines that this many samples can show.
fn nines_of(count: u64) -> u32 {
    let whole = count.max(1).ilog10();
    (whole + u32::from(count > 10_u64.pow(whole))).clamp(1, 6)
}

/// `99.9 %` for three nines.
fn percentile(nines: i32) -> String {
    match nines {
        ..=0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        _ => format!(
            "99.{} %",
            "9".repeat(usize::try_from(nines - 2).unwrap_or(0))
        ),
    }
}

/// A power of ten of nanoseconds.
fn power(exponent: i32) -> String {
    let exponent = u32::try_from(exponent).unwrap_or(0);
    #[allow(clippy::cast_precision_loss)]
    let nanos = 10_u64.saturating_pow(exponent) as f64;
    // Without trailing zeros.
    time(nanos).replace(".00", "").replace(".0", "")
}

/// The steps of a nine, and the factor of each: 10 to the power of -1/40.
const STEPS: i32 = 40;
const STEP: f64 = 0.944_060_876_285_923_4;

fn points(outcome: &Measurement) -> Vec<(i32, i32)> {
    let samples = &outcome.samples;
    let mut points = Vec::new();
    let mut rest = 1.0;
    // While at least one sample is left.
    #[allow(clippy::cast_precision_loss)]
    let last = 1.0 / samples.count().clamp(1, 1_000_000) as f64;
    for step in 0.. {
        if rest < last {
            break;
        }
        points.push((
            step * 1000 / STEPS,
            thousandths_of_log10(samples.at(1.0 - rest)),
        ));
        rest *= STEP;
    }
    points
}

/// The logarithm to the base of 10, in thousandths, digit by binary digit: see `ProgressLine` for
/// the cost of the mathematics library.
fn thousandths_of_log10(nanos: u64) -> i32 {
    let whole = nanos.max(1).ilog10();
    #[allow(clippy::cast_precision_loss)]
    let mut rest = nanos.max(1) as f64 / 10_u64.pow(whole) as f64;
    let (mut fraction, mut digit) = (0.0_f64, 0.5);
    while digit > 0.0001 {
        rest *= rest;
        if rest >= 10.0 {
            rest /= 10.0;
            fraction += digit;
        }
        digit /= 2.0;
    }
    #[allow(clippy::cast_possible_truncation)]
    let fraction = (fraction * 1000.0).round() as i32;
    thousandths(whole) + fraction
}

/// A bar for each outcome, with the figure for comparison.
fn bars(area: &Area<'_>, measure: Measure, outcomes: &[&Measurement]) -> Result<()> {
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (width.cast_signed(), height.cast_signed());
    let heading = match measure {
        Measure::Throughput => title(measure, outcomes),
        Measure::Rtt | Measure::Connect => "Median (p50)".to_owned(),
    };
    text(area, &heading, (24, 8), 17, INK)?;
    let figures: Vec<(f64, String)> = outcomes.iter().map(|one| figure(one)).collect();
    let longest = figures.iter().map(|(value, _)| *value).fold(0.0, f64::max);
    let step = BAR.cast_signed();
    let count = i32::try_from(outcomes.len()).unwrap_or(0);
    let longest_name = outcomes.iter().map(|one| length(one.form())).max();
    let left = 82.max(32 + WIDE_LETTER * longest_name.unwrap_or(0));
    let mut top = 44.max((height - count * step) / 2);
    for ((outcome, (value, shown)), colour) in
        outcomes.iter().zip(&figures).zip(COLOURS.iter().cycle())
    {
        let (left, right) = (left, width - 170);
        let share = if longest > 0.0 { value / longest } else { 0.0 };
        #[allow(clippy::cast_possible_truncation)]
        let end = left + (share * f64::from(right - left)).round() as i32;
        let body = Rectangle::new([(left, top), (end, top + step - 16)], colour.filled());
        area.draw(&body).map_err(failed)?;
        text(area, outcome.form(), (24, top + 6), 15, INK)?;
        let ratio = match outcome.relative {
            Some(ratio) if count > 1 => format!("{shown}, x {ratio:.2}"),
            _ => shown.clone(),
        };
        text(area, &ratio, (end + 8, top + 6), 15, INK)?;
        top += step;
    }
    Ok(())
}

fn text(area: &Area<'_>, words: &str, at: (i32, i32), size: u32, colour: RGBColor) -> Result<()> {
    let style = (FONT, size).into_font().color(&colour);
    area.draw_text(words, &style, at).map_err(failed)
}

fn failed(error: impl Display) -> Error {
    Error::because("draw", "the results", ErrorKind::Other, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right_to_a_thousandth() {
        for (nanos, wanted) in [
            (0, 0),
            (1, 0),
            (2, 301),
            (10, 1000),
            (999, 3000),
            (24_300, 4386),
        ] {
            let got = thousandths_of_log10(nanos);
            assert!(got.abs_diff(wanted) <= 1, "{nanos}: {got} is not {wanted}");
        }
    }

    #[test]
    fn an_axis_has_the_nines_that_the_samples_can_tell() {
        let counts = [0, 1, 10, 11, 100, 5000, 100_000_000];
        assert_eq!(counts.map(nines_of), [1, 1, 1, 2, 2, 4, 6]);
        let marks = [0, 1, 2, 3, 5].map(percentile);
        assert_eq!(marks, ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
        assert_eq!([3, 4, 5, 9].map(power), ["1us", "10us", "100us", "1s"]);
    }
}
