//! `vedette top`: the fleet, live.

use std::time::Duration;

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::text::Text;
use ratatui::widgets::Paragraph;

use crate::args::TopArgs;
use crate::client::Coordinator;
use crate::output;
use crate::screen::{self, Shown, Tone};
use crate::watch::{Sort, View, Watcher, sort};

/// How often the keyboard is read.
const KEYS_EVERY: Duration = Duration::from_millis(50);

/// The range of `rate()`: agents send once a minute, so a minute alone may hold nothing.
const WINDOW: &str = "5m";

const HELP: &str = "q quit   sort by: n name  f freshness  s series  c cpu  m memory  g gpu  \
                    r running  w waiting";

/// Shows the fleet until `q`, Ctrl-C, or `--iterations` looks.
pub(crate) async fn run(coordinator: Coordinator, args: &TopArgs) -> anyhow::Result<()> {
    let watcher = Watcher::new(coordinator, WINDOW);
    if output::is_terminal() {
        let mut terminal = ratatui::try_init().context("taking over the terminal")?;
        let done = live(&mut terminal, watcher, args).await;
        ratatui::try_restore().context("giving the terminal back")?;
        done
    } else {
        repeated(watcher, args).await
    }
}

/// Prints the fleet again and again.
async fn repeated(mut watcher: Watcher, args: &TopArgs) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(args.interval);
    let mut looks = 0;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            asked = tokio::signal::ctrl_c() => return asked.context("waiting for Ctrl-C"),
        }
        let mut view = watcher.look().await?;
        sort(&mut view.rows, args.sort);
        output::print(&(screen::plain(&screen::fleet(&view)) + "\n"))?;
        looks += 1;
        if Some(looks) == args.iterations {
            return Ok(());
        }
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Leave.
    Quit,
    /// Sort by this.
    Sort(Sort),
}

/// Reads the keys pressed since the last time, without waiting.
pub(crate) fn keys() -> std::io::Result<Vec<Key>> {
    let mut keys = Vec::new();
    while event::poll(Duration::ZERO)? {
        if let Event::Key(pressed) = event::read()? {
            keys.extend(meaning(pressed));
        }
    }
    Ok(keys)
}

fn meaning(pressed: KeyEvent) -> Option<Key> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    let control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    Some(match pressed.code {
        // The terminal is in raw mode, so Ctrl-C comes as a key.
        KeyCode::Char('c') if control => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('n') => Key::Sort(Sort::Name),
        KeyCode::Char('f') => Key::Sort(Sort::Freshness),
        KeyCode::Char('s') => Key::Sort(Sort::Series),
        KeyCode::Char('c') => Key::Sort(Sort::Cpu),
        KeyCode::Char('m') => Key::Sort(Sort::Memory),
        KeyCode::Char('g') => Key::Sort(Sort::Gpu),
        KeyCode::Char('r') => Key::Sort(Sort::Running),
        KeyCode::Char('w') => Key::Sort(Sort::Waiting),
        _ => return None,
    })
}

/// Draws lines over the whole terminal.
pub(crate) fn draw(terminal: &mut DefaultTerminal, lines: &[Shown]) -> std::io::Result<()> {
    let text: Text<'_> = lines.iter().map(Shown::line).collect();
    terminal.draw(|frame| frame.render_widget(Paragraph::new(text), frame.area()))?;
    Ok(())
}

async fn live(
    terminal: &mut DefaultTerminal,
    watcher: Watcher,
    args: &TopArgs,
) -> anyhow::Result<()> {
    let (asks, mut wanted) = tokio::sync::mpsc::channel::<()>(1);
    let (tells, mut looks) = tokio::sync::mpsc::channel(1);
    // The looks have a task of their own, so that a slow coordinator does not hold up the keys.
    let looking = tokio::spawn(async move {
        let mut watcher = watcher;
        while wanted.recv().await.is_some() {
            if tells.send(watcher.look().await).await.is_err() {
                break;
            }
        }
    });
    let mut tick = tokio::time::interval(args.interval);
    let mut read_keys = tokio::time::interval(KEYS_EVERY);
    let (mut by, mut view, mut problem) = (args.sort, None::<View>, None);
    let mut left = args.iterations;
    while left != Some(0) {
        tokio::select! {
            _ = tick.tick() => {
                // When the last look is still under way, this one is left out.
                asks.try_send(()).unwrap_or(());
                continue;
            }
            look = looks.recv() => {
                match look.context("the task that looks at the fleet ended")? {
                    Ok(new) => (view, problem) = (Some(new), None),
                    Err(error) => problem = Some(error.to_string()),
                }
                left = left.map(|left| left - 1);
            }
            _ = read_keys.tick() => {
                let keys = keys().context("reading the keyboard")?;
                if keys.is_empty() {
                    continue;
                }
                for key in keys {
                    match key {
                        Key::Quit => left = Some(0),
                        Key::Sort(new) => by = new,
                    }
                }
            }
        }
        draw(terminal, &lines(view.as_mut(), problem.as_deref(), by))?;
    }
    looking.abort();
    Ok(())
}

fn lines(view: Option<&mut View>, problem: Option<&str>, by: Sort) -> Vec<Shown> {
    let mut lines = match view {
        Some(view) => {
            sort(&mut view.rows, by);
            screen::fleet(view)
        }
        None => vec![Shown::new(Tone::Title, "vedette: looking …")],
    };
    lines.push(Shown::new(Tone::Plain, ""));
    if let Some(problem) = problem {
        lines.push(Shown::new(Tone::Bad, problem));
    }
    lines.push(Shown::new(Tone::Heading, HELP));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        meaning(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_mean_what_the_help_says() {
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('q'), none), Some(Key::Quit));
        assert_eq!(
            key(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(Key::Quit)
        );
        assert_eq!(key(KeyCode::Char('c'), none), Some(Key::Sort(Sort::Cpu)));
        assert_eq!(key(KeyCode::Char('x'), none), None);
        for word in HELP
            .split("  ")
            .filter_map(|word| word.trim().split_once(' '))
        {
            let (letter, _) = word;
            if let [letter] = letter.chars().collect::<Vec<_>>()[..] {
                assert!(key(KeyCode::Char(letter), none).is_some(), "{letter}");
            }
        }
    }

    #[test]
    fn a_lost_coordinator_is_said_below_the_last_view() {
        let mut view = View::default();
        let lines = lines(Some(&mut view), Some("no coordinator answers"), Sort::Name);
        assert!(
            lines
                .iter()
                .any(|line| line.tone == Tone::Bad && line.text.contains("answers"))
        );
        assert_eq!(lines.last().map(|line| line.text.as_str()), Some(HELP));
    }
}
