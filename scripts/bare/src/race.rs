//! The wall time of a whole process, from its start until it has been waited for.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Result, say};

/// Runs the commands in turns, so that other load affects all of them, and
/// prints the median of each in microseconds.
pub fn race(runs: &str, stdin: &str, reply: &str, words: &[&str]) -> Result<()> {
    let commands: Vec<&[&str]> = words.split(|word| *word == "--").collect();
    let mut micros = vec![Vec::new(); commands.len()];
    for run in 0..runs.parse::<usize>()? {
        for turn in 0..commands.len() {
            // The first one has a different predecessor each time.
            let index = (turn + run) % commands.len();
            micros[index].push(once(commands[index], stdin, reply)?);
        }
    }
    for times in &mut micros {
        times.sort_unstable_by(f64::total_cmp);
    }
    let medians: Vec<String> = micros
        .iter()
        .map(|times| format!("{:.1}", times[times.len() / 2]))
        .collect();
    Ok(say(&format!("[{}]", medians.join(", ")))?)
}

fn once(command: &[&str], stdin: &str, reply: &str) -> Result<f64> {
    let (program, arguments) = command.split_first().ok_or("a command is empty")?;
    let mut prepared = Command::new(program);
    let (mut output, out) = std::io::pipe()?;
    prepared.args(arguments).stdin(File::open(stdin)?);
    prepared.stdout(out).stderr(Stdio::inherit());
    let began = Instant::now();
    let mut child = prepared.spawn()?;
    let status = child.wait()?;
    let micros = began.elapsed().as_secs_f64() * 1e6;
    // The last writing end: what was written is small enough to wait in the pipe.
    drop(prepared);
    let mut said = String::new();
    output.read_to_string(&mut said)?;
    if !status.success() || said.trim_end() != reply {
        return Err(format!("{command:?} ended with {status} and said {said:?}").into());
    }
    Ok(micros)
}
