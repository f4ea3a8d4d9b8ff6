//! Writes an HdrHistogram log, which other tools read and merge.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::report::BenchReport;

/// Writes the times of `report` as an HdrHistogram log (version 2, compressed), with an interval
/// for each result that has times, tagged `MEASURE-FORM`, as `rtt-unix` and `rtt-udp4`, in nanoseconds; the column of the
/// maximum is in milliseconds.
///
/// # Errors
/// Errors of the write.
pub(crate) fn write_hdr_log(report: &BenchReport, to: &mut impl Write) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let began = Duration::try_from_secs_f64(report.began).unwrap_or_default();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Logged by sok bench: tags are MEASURE-FORM, times in nanoseconds]")
        .with_start_time(UNIX_EPOCH + began)
        .with_base_time(UNIX_EPOCH + began)
        .with_max_value_divisor(1e6);
    let mut log = builder.begin_log_with(to, &mut serializer)?;
    for outcome in report.results.iter().filter(|one| one.times.is_some()) {
        let name = format!("{}-{}", outcome.measure, outcome.form());
        let tag = Tag::new(&name);
        let took = Duration::try_from_secs_f64(outcome.seconds).unwrap_or_default();
        log.write_histogram(outcome.samples.histogram(), Duration::ZERO, took, tag)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
    }
    Ok(())
}
