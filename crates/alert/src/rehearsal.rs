//! Whom transitions of the past would have been told to: the same centre, on a clock of its own.

use crate::{Centre, ConditionError, Delivery, Incident, Routes, Transition};

/// What would have come of transitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rehearsal {
    /// The incidents there would have been, in the order they would have been opened.
    pub incidents: Vec<Incident>,
    /// Notifications after grouping, each taken at once.
    pub notifications: u64,
}

/// Plays transitions, which must be in order of time, until `end_millis`. Nobody acknowledges anything, and
/// every provider takes what it gets.
///
/// # Errors
/// When a condition of the routes cannot be used.
pub fn rehearse(
    transitions: &[Transition],
    routes: Routes,
    end_millis: i64,
) -> Result<Rehearsal, ConditionError> {
    let mut centre = Centre::new("", routes)?;
    let mut notifications = 0;
    for together in transitions.chunk_by(|a, b| a.at_millis == b.at_millis) {
        let Some(now) = together.first().map(|it| it.at_millis) else {
            continue;
        };
        notifications += pass(&mut centre, now);
        centre.take(together.to_vec(), now);
        notifications += send(&mut centre, now);
        // What is to be written is of no use here.
        drop(centre.changes());
    }
    notifications += pass(&mut centre, end_millis);
    let mut incidents: Vec<Incident> = centre.incidents().cloned().collect();
    incidents.sort_by(|a, b| {
        (a.opened_millis, a.id.len(), &a.id).cmp(&(b.opened_millis, b.id.len(), &b.id))
    });
    Ok(Rehearsal {
        incidents,
        notifications,
    })
}

/// Lets time pass until `end`; gives how much was said.
fn pass(centre: &mut Centre, end: i64) -> u64 {
    let mut said = 0;
    while let Some(now) = centre.next_due().filter(|due| *due <= end) {
        centre.tick(now);
        said += send(centre, now);
        drop(centre.changes());
    }
    said
}

fn send(centre: &mut Centre, now: i64) -> u64 {
    let mut said = 0;
    loop {
        let due = centre.due(now);
        if due.is_empty() {
            return said;
        }
        for notification in due {
            said += 1;
            let taken = Delivery::Accepted { provider_id: None };
            centre.delivered(&notification.id, taken, now);
        }
    }
}
