//! `vedette query`: a question in PromQL.

mod plan;
mod text;

use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Duration;

use indicatif::ProgressBar;
use text::Range;
use wire::proto::{InstantRequest, RangeRequest};

use crate::answer::{self, Answer, Question};
use crate::args::QueryArgs;
use crate::client::Coordinator;
use crate::output;
use crate::times::now_millis;

/// How many values a range has when no step is given.
const STEPS: i64 = 120;
/// How long an answer may take before a sign of life is shown.
const PATIENCE: Duration = Duration::from_millis(400);

/// Asks, prints the answer, and says on standard error what else there is to know.
pub(crate) async fn run(coordinator: &Coordinator, args: QueryArgs) -> anyhow::Result<()> {
    let now = now_millis();
    let (question, range) = question(&args, now)?;
    let answer = ask_with_spinner(coordinator, question).await?;
    for note in notes(&answer) {
        output::note(&note);
    }
    let text = if args.explain {
        plan::render(&answer)
    } else {
        text::render(&answer, args.format, range)?
    };
    output::print(&text)?;
    Ok(())
}

/// The question and, for a range, what range that is.
fn question(args: &QueryArgs, now: i64) -> anyhow::Result<(Question, Option<Range>)> {
    let expression = args.expression.clone();
    let Some(start) = args.start else {
        let time_millis = args.time.map_or(now, |time| time.resolve(now));
        let request = InstantRequest {
            expression,
            time_millis,
            explain: args.explain,
        };
        return Ok((Question::Instant(request), None));
    };
    let start = start.resolve(now);
    let end = args.end.map_or(now, |end| end.resolve(now));
    anyhow::ensure!(
        start <= end,
        "the range ends before it begins: check --start and --end"
    );
    let step_millis = match args.step {
        Some(step) => i64::try_from(step.as_millis()).unwrap_or(i64::MAX),
        // Whole seconds are what people expect on the axis.
        None => ((end - start) / STEPS / 1000 * 1000).max(1000),
    };
    let request = RangeRequest {
        expression,
        start_millis: start,
        end_millis: end,
        step_millis,
        explain: args.explain,
    };
    let range = Range {
        start,
        end,
        step: step_millis,
    };
    Ok((Question::Range(request), Some(range)))
}

async fn ask_with_spinner(coordinator: &Coordinator, question: Question) -> anyhow::Result<Answer> {
    let spinner = ProgressBar::hidden();
    let shown = spinner.clone();
    let mut asking = pin!(answer::ask(coordinator, question, move |series| {
        shown.set_message(format!("{series} series"));
    }));
    if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut asking).await {
        return Ok(answer?);
    }
    if std::io::stderr().is_terminal() {
        spinner.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        spinner.enable_steady_tick(Duration::from_millis(100));
    }
    let answer = asking.await;
    spinner.finish_and_clear();
    Ok(answer?)
}

/// What belongs beside the answer and not into it.
fn notes(answer: &Answer) -> Vec<String> {
    let mut notes = Vec::new();
    if answer.partial {
        notes.push("partial: something that belongs into this answer is missing".to_owned());
    }
    notes.extend(
        answer
            .warnings
            .iter()
            .map(|text| format!("warning: {text}")),
    );
    notes.extend(answer.infos.iter().map(|text| format!("info: {text}")));
    notes
}

#[cfg(test)]
mod tests;
