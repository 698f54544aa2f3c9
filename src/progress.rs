//! Progress of long work: a bar with ETA on a terminal, a line now and then elsewhere. Always on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Whether and where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Nothing but errors.
    Quiet,
    /// Bars on a terminal, plain lines elsewhere.
    Normal,
}

/// Time between two plain lines.
const EVERY: Duration = Duration::from_secs(5);

/// Progress of one piece of work.
pub struct Progress {
    bar: Option<ProgressBar>,
    plain: Option<Plain>,
}

struct Plain {
    what: String,
    total: u64,
    done: u64,
    /// Of those, what was there already and took no time.
    skipped: u64,
    start: Instant,
    said: Instant,
}

impl Progress {
    /// Start `what`, of `total` items.
    pub fn new(verbosity: Verbosity, what: &str, total: usize) -> Self {
        if verbosity == Verbosity::Quiet {
            return Self { bar: None, plain: None };
        }
        if std::io::stderr().is_terminal() {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let template = "{prefix:<22} {bar:32} {pos}/{len}  {elapsed} < {eta}  {msg}";
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()),
            );
            bar.set_prefix(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            return Self { bar: Some(bar), plain: None };
        }
        let now = Instant::now();
        let plain = Plain {
            what: what.to_owned(),
            total: total as u64,
            done: 0,
            skipped: 0,
            start: now,
            said: now,
        };
        Self { bar: None, plain: Some(plain) }
    }

    /// `n` items were done before, and say nothing of how long the others take.
    pub fn skip(&mut self, n: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(n as u64);
            bar.reset_eta();
        }
        if let Some(plain) = &mut self.plain {
            plain.done += n as u64;
            plain.skipped += n as u64;
        }
    }

    /// `n` more items are done; `message` says how it goes.
    pub fn advance(&mut self, n: usize, message: &str) {
        if let Some(bar) = &self.bar {
            bar.inc(n as u64);
            bar.set_message(message.to_owned());
        }
        if let Some(plain) = &mut self.plain {
            plain.done += n as u64;
            if plain.said.elapsed() >= EVERY && plain.done < plain.total {
                plain.said = Instant::now();
                let Plain { what, total, done, skipped, start, .. } = plain;
                let each = start.elapsed().div_f64((*done - *skipped).max(1) as f64);
                let left = each.mul_f64((*total - *done) as f64);
                eprintln!("{what}: {done}/{total}, {:.0} s left  {message}", left.as_secs_f64());
            }
        }
    }

    /// Say a line without tearing the bar.
    pub fn say(&self, line: &str) {
        match (&self.bar, &self.plain) {
            (Some(bar), _) => bar.println(line),
            (None, Some(_)) => eprintln!("{line}"),
            (None, None) => {}
        }
    }

    /// The work is over.
    pub fn finish(self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            eprintln!(
                "{}: {} in {:.0} s  {message}",
                bar.prefix(),
                bar.position(),
                bar.elapsed().as_secs_f64()
            );
        }
        if let Some(Plain { what, done, skipped, start, .. }) = &self.plain {
            let resumed =
                if *skipped > 0 { format!(" ({skipped} were there)") } else { String::new() };
            eprintln!(
                "{what}: {done}{resumed} in {:.0} s  {message}",
                start.elapsed().as_secs_f64()
            );
        }
    }
}
