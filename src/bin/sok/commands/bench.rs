//! `sok bench`: measures sockets of each family.

use std::ffi::OsString;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use sok::address::{Address, Family, SocketType, Target};
use sok::client::{ConnectPlan, connect, output_error};
use sok::error::{Error, ErrorKind, Result};
use sok::net::Socket;
use sok::offload::offload;

use super::run::{block_on, until_signal};
use super::server::raise_descriptor_limit;
use crate::args::BenchArgs;
use crate::bench::{
    BenchPlan, BenchReport, Job, Measure, OwnServer, ServerEnd, allowed_cpus, run as measure,
    write_hdr_log,
};
use crate::exit::Exit;
use crate::output::Ui;
use crate::output::progress::Progress;
use crate::output::result_file::ResultFile;
use crate::output::standard;
use crate::output::style::Styles;
use crate::output::{bench as bench_output, svg};

pub(crate) fn run(args: BenchArgs, ui: Ui) -> Result<Exit> {
    let (measures, target) = what_and_where(&args)?;
    let (cpu, server_cpu) = placement(&args, target.is_some())?;
    let forms = own_forms(&args)?;
    let mut plan = BenchPlan {
        size: args.size,
        longest: usize::MAX,
        connections: usize::try_from(args.connections).unwrap_or(usize::MAX),
        duration: args.duration,
        rate: args.rate,
        spin: args.spin,
        cpu,
        timeout: args.timeout,
    };
    check_descriptors(args.connections)?;
    check_rate(&args)?;
    check_use(&args, &measures)?;
    // Fail now, not after the measurement.
    let svg_file = args.svg.as_deref().map(ResultFile::open).transpose()?;
    let hdr_file = args.hdr.as_deref().map(ResultFile::open).transpose()?;
    let csv = args.csv;
    let progress = Progress::new(ui, args.progress.when(), false);
    block_on(until_signal(async move {
        // They live as long as this future, which a signal drops.
        let mut servers = Vec::new();
        let jobs = match &target {
            Some(target) => against(target, &measures, (&args, &plan), ui).await?,
            None => {
                let all = args.families.is_empty();
                own_jobs(&measures, (forms, all, &plan), server_cpu, &mut servers, ui).await?
            }
        };
        limit_size(&mut plan, &jobs).await?;
        let measuring = offload("start", "the measurement", move || {
            let mut shown = progress.of_measurement();
            measure(&plan, &jobs, |now| shown.show(now))
        });
        let mut report = measuring.await??;
        drop(servers);
        for warning in &report.warnings {
            ui.note(warning);
        }
        if let Some(file) = svg_file {
            file.write(svg::draw(&report)?.as_bytes())?;
        }
        if let Some(file) = hdr_file {
            let mut log = Vec::new();
            let written = write_hdr_log(&report, &mut log);
            written.map_err(|error| Error::new("write", "the HdrHistogram log", error))?;
            file.write(&log)?;
        }
        // Last, so that the files are written even if the reader of the output has closed.
        print(&report, csv, ui)?;
        report.failure.take().map_or(Ok(Exit::Done), Err)
    }))
}

const MEASURES: &str = "choose rtt, throughput or connect";

/// The measures and the server of the arguments; the first one may be either.
fn what_and_where(args: &BenchArgs) -> Result<(Vec<Measure>, Option<Target>)> {
    let named = |word: &OsString| {
        let known = Measure::ALL.into_iter();
        known.into_iter().find(|measure| word == measure.name())
    };
    let (measures, address) = match (&args.measure, &args.address) {
        (Some(word), address) => match (named(word), address) {
            (Some(measure), address) => (vec![measure], address.as_ref()),
            (None, None) => (Measure::ALL.to_vec(), Some(word)),
            (None, Some(_)) => {
                let cause = "unknown measure";
                let error = Error::because("bench", word.display(), ErrorKind::Usage, cause);
                return Err(error.with_hint(MEASURES));
            }
        },
        (None, _) => (Measure::ALL.to_vec(), None),
    };
    let target = address.map(Target::parse).transpose();
    let target = target.map_err(|error| match args.address {
        Some(_) => error,
        None => error.with_hint(format!("or {MEASURES}")),
    })?;
    if let Some(target) = &target {
        target.require_specified()?;
    }
    match target {
        Some(target) if !args.families.is_empty() => {
            let cause =
                "an address has its own family: --families applies only to sok's own servers";
            Err(Error::because("bench", target, ErrorKind::Usage, cause))
        }
        Some(target) if !args.types.is_empty() => {
            let cause = "an address has its own type: --type applies only to sok's own servers";
            Err(Error::because("bench", target, ErrorKind::Usage, cause))
        }
        target => Ok((measures, target)),
    }
}

/// A family and a socket type.
type Form = (Family, SocketType);

/// The forms of our own servers: each type of each family, if the family has it.
///
/// # Errors
/// If a family has none of the types.
fn own_forms(args: &BenchArgs) -> Result<Vec<Form>> {
    let families: &[Family] = match &args.families[..] {
        [] => &Family::ALL,
        some => some,
    };
    let types: &[SocketType] = match &args.types[..] {
        [] => &[SocketType::Stream],
        some => some,
    };
    let mut forms: Vec<Form> = Vec::new();
    for socket_type in types {
        for family in families {
            let form = (*family, *socket_type);
            if family.types().contains(socket_type) && !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    for family in &args.families {
        if !forms.iter().any(|(known, _)| known == family) {
            family.require(types[0])?;
        }
    }
    Ok(forms)
}

/// Limits the size of a message to what all servers take.
///
/// # Errors
/// If a larger one is asked for.
async fn limit_size(plan: &mut BenchPlan, jobs: &[Job]) -> Result<()> {
    let servers = jobs.iter().flat_map(|job| &job.servers);
    for ServerEnd { address, .. } in servers {
        if !address.socket_type().keeps_messages() {
            continue;
        }
        let (to, limit) = (address.clone(), plan.timeout);
        let longest = move || {
            let socket = Socket::connect_blocking(&to, limit)?;
            let longest = socket.longest_message();
            longest.map_err(|error| Error::new("bench", &to, error))
        };
        let longest = offload("connect", address, longest).await??;
        let longest = longest.unwrap_or(usize::MAX);
        if let Some(size) = plan.size.filter(|size| *size > longest) {
            let cause = format!("a message of {size} bytes is above the limit of {longest} bytes");
            return Err(Error::because("bench", address, ErrorKind::Usage, cause)
                .with_hint(format!("use a --size of at most {longest}")));
        }
        plan.longest = plan.longest.min(longest);
    }
    Ok(())
}

/// The processors of the client and of our own server.
fn placement(args: &BenchArgs, given: bool) -> Result<(Option<usize>, Option<usize>)> {
    let allowed = allowed_cpus();
    let shown: Vec<String> = args.cpus.iter().map(usize::to_string).collect();
    let refused = |cause: String| {
        let shown = format!("--cpus {}", shown.join(","));
        Err(Error::because("bench", shown, ErrorKind::Usage, cause))
    };
    if let Some(cpu) = args.cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        let known: Vec<String> = allowed.iter().map(usize::to_string).collect();
        let known = known.join(", ");
        return refused(format!("cannot run on processor {cpu}, only on {known}"));
    }
    match (args.cpus.as_slice(), allowed.as_slice()) {
        ([_, _], _) if given => refused("sok cannot place the server at an ADDRESS".to_owned()),
        ([_, _, _, ..], _) => refused("give at most two processors".to_owned()),
        ([client, server], _) => Ok((Some(*client), Some(*server))),
        ([client], _) => Ok((Some(*client), None)),
        // Two polling ends on one processor would slow each other down.
        (_, [first, second, ..]) if args.spin && !given => Ok((Some(*first), Some(*second))),
        _ => Ok((None, None)),
    }
}

/// The descriptors of this process besides its connections.
const DESCRIPTORS: u64 = 64;

/// Refuses more connections than the limit of open files allows.
fn check_descriptors(connections: u64) -> Result<()> {
    let limit = raise_descriptor_limit();
    if connections.saturating_add(DESCRIPTORS) <= limit {
        return Ok(());
    }
    let shown = format!("--connections {connections}");
    let cause = format!("the limit of open files is {limit}");
    Err(Error::because("bench", shown, ErrorKind::Usage, cause)
        .with_hint("use fewer, or raise the hard limit (ulimit -Hn)"))
}

/// Refuses a schedule that leaves some connection without work.
fn check_rate(args: &BenchArgs) -> Result<()> {
    #[allow(clippy::cast_precision_loss)]
    let connections = args.connections as f64;
    match args.rate {
        Some(rate) if rate * args.duration.as_secs_f64() < connections => {
            let cause = "less than one message per connection within the duration";
            let error = Error::because("bench", format!("--rate {rate}"), ErrorKind::Usage, cause);
            Err(error.with_hint("raise --rate or --duration"))
        }
        _ => Ok(()),
    }
}

/// Refuses options without effect, or that would lose a result.
fn check_use(args: &BenchArgs, measures: &[Measure]) -> Result<()> {
    let usage =
        |shown: &str, cause: &str| Err(Error::because("bench", shown, ErrorKind::Usage, cause));
    if args.svg.is_some() && args.svg == args.hdr {
        return usage("--svg and --hdr", "both name the same file");
    }
    if args.spin && !measures.contains(&Measure::Rtt) {
        return usage("--spin", "it applies only to rtt");
    }
    if measures == [Measure::Throughput] {
        if args.hdr.is_some() {
            return usage("--hdr", "throughput does not time single messages");
        }
        if args.rate.is_some() {
            return usage("--rate", "throughput always sends at full speed");
        }
    }
    Ok(())
}

/// The address of `target` that accepts, for each measure. What a server receives of datagrams that
/// may be lost is known of our own only.
async fn against(
    target: &Target,
    measures: &[Measure],
    (args, plan): (&BenchArgs, &BenchPlan),
    ui: Ui,
) -> Result<Vec<Job>> {
    let address = match target.as_address() {
        Some(address) => address.clone(),
        None => {
            let mut dial = ConnectPlan::default();
            dial.timeout = Some(plan.timeout);
            connect(target, &dial).await?.1
        }
    };
    let job = |measure: &Measure| Job {
        measure: *measure,
        servers: vec![ServerEnd {
            address: Address::clone(&address),
            own: None,
        }],
    };
    let is_counted =
        address.socket_type().has_connection() || address.family().facts().full_receiver_blocks;
    let mut possible = measures.to_vec();
    if !is_counted && measures.contains(&Measure::Throughput) {
        let cause = "how much a UDP server receives is known only of sok's own server";
        let error = Error::because("bench", &address, ErrorKind::Usage, cause);
        if args.measure.is_some() && measures.len() == 1 {
            return Err(error.with_hint("leave out ADDRESS, or measure rtt or connect"));
        }
        ui.note(&format!("skipped throughput: {error}"));
        possible.retain(|measure| *measure != Measure::Throughput);
    }
    Ok(possible.iter().map(job).collect())
}

/// Starts a server of each form for each measure. If `all` families are measured, those that this
/// machine lacks are skipped.
async fn own_jobs(
    measures: &[Measure],
    (mut forms, all, plan): (Vec<Form>, bool, &BenchPlan),
    cpu: Option<usize>,
    servers: &mut Vec<OwnServer>,
    ui: Ui,
) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for measure in measures {
        let mut ends = Vec::new();
        let mut missing = Vec::new();
        for form in &forms {
            let started = OwnServer::start(own_server(*form, *measure, plan, cpu));
            match reached(started.await, plan.timeout).await {
                Ok(server) => {
                    ends.push(server.end());
                    servers.push(server);
                }
                Err(error) if all => missing.push((*form, error)),
                Err(error) => return Err(error),
            }
        }
        if ends.is_empty()
            && let Some((_, error)) = missing.pop()
        {
            return Err(error);
        }
        for ((family, socket_type), error) in &missing {
            let form = family.prefix(*socket_type);
            ui.note(&format!("skipped {measure} over {form}: {error}"));
        }
        // Determine once which forms this machine has.
        forms.retain(|form| missing.iter().all(|(lacking, _)| lacking != form));
        jobs.push(Job {
            measure: *measure,
            servers: ends,
        });
    }
    Ok(jobs)
}

/// The server, after a test connection: a successful bind is not enough, since the address may be
/// unreachable.
async fn reached(started: Result<OwnServer>, limit: Duration) -> Result<OwnServer> {
    let server = started?;
    // The server belongs to this future, which a signal drops; a thread would be left behind with
    // it.
    let address = server.end().address;
    let connect = move || Socket::connect_blocking(&address, limit).map(drop);
    offload("connect", "the server to measure", connect).await??;
    Ok(server)
}

/// This program, as a server.
fn own_server(form: Form, measure: Measure, plan: &BenchPlan, cpu: Option<usize>) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["bench-server", "--family", form.0.name()]);
    command.args(["--type", form.1.name()]);
    command.args(["--role", measure.role().name()]);
    if plan.polls(measure) {
        command.arg("--spin");
    }
    if let Some(cpu) = cpu {
        command.args(["--cpu", &cpu.to_string()]);
    }
    command
}

fn print(report: &BenchReport, csv: bool, ui: Ui) -> Result<()> {
    let text = if ui.is_json() {
        let json = serde_json::to_string(report);
        json.map_err(|error| Error::new("write", "the report", error))? + "\n"
    } else if csv {
        bench_output::csv(report)?
    } else {
        bench_output::text(report, standard::width(), Styles::of_output())
    };
    standard::stdout()?
        .write_all(text.as_bytes())
        .map_err(output_error)
}
