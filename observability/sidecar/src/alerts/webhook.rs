//! `POST /alerts`: a notification of Alertmanager, version 4 of its webhook.
//!
//! It is read like anything from outside. What cannot be understood is refused with the name of the field, because Alertmanager does not try
//! a refused notification again and logs why; what is merely long is cut, because an alert that is lost is worse than half a sentence.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use platform::{
    extract::Json,
    problem::{FieldError, Problem},
};
use serde::Deserialize;

use super::{Alerts, board::Told};
use crate::meter;

/// Bytes of a notification: some hundred alerts of one group, with all that is written on them.
pub(super) const LARGEST: usize = 1 << 20;
/// Alerts of a notification.
const MOST: usize = 1_000;
/// Characters of an id; Alertmanager's have 16.
const LONGEST_ID: usize = 64;
/// How far the sender's clock may be ahead, in nanoseconds.
const AHEAD: u64 = 24 * 60 * 60 * 1_000_000_000;
/// What is refused is told field by field, up to here.
const MOST_MISTAKES: usize = 20;

pub(super) fn router(alerts: Alerts) -> Router {
    Router::new().route("/alerts", post(notify)).with_state(alerts)
}

/// What is read of a notification. Other fields are not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    version: String,
    alerts: Vec<Notified>,
    /// Those that Alertmanager left out, where its `max_alerts` is set.
    #[serde(default)]
    truncated_alerts: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notified {
    status: String,
    fingerprint: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(default)]
    ends_at: String,
}

async fn notify(
    State(alerts): State<Alerts>,
    Json(notification): Json<Notification>,
) -> Result<StatusCode, Problem> {
    let now = nanos(SystemTime::now());
    let left_out = notification.truncated_alerts;
    let told = read(notification, now)?;
    for it in &told {
        meter::alert_received(it.resolved.is_some());
    }
    let mut board = alerts.board();
    board.left_out(left_out);
    for it in told {
        board.tell(it, now);
    }
    meter::alerts(&board);
    Ok(StatusCode::NO_CONTENT)
}

/// All of its alerts, or everything that is wrong with them.
fn read(notification: Notification, now: u64) -> Result<Vec<Told>, Problem> {
    let mut mistakes = Vec::new();
    if notification.version != "4" {
        mistakes.push(FieldError::new("/version", "has to be \"4\", the webhook of Alertmanager"));
    }
    if notification.alerts.len() > MOST {
        let detail = format!("must be {MOST} alerts at most");
        return Err(Problem::invalid(vec![FieldError::new("/alerts", detail).limit(MOST)]));
    }
    let mut told = Vec::with_capacity(notification.alerts.len());
    for (at, alert) in notification.alerts.into_iter().enumerate() {
        let mut wrong = |field: &str, detail: &str| {
            if mistakes.len() < MOST_MISTAKES {
                mistakes.push(FieldError::new(format!("/alerts/{at}/{field}"), detail));
            }
        };
        let id = &alert.fingerprint;
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(|it| it.is_ascii_hexdigit()) {
            wrong("fingerprint", "has to be 1 to 64 hexadecimal digits");
        }
        let resolved = match alert.status.as_str() {
            "firing" => Some(false),
            "resolved" => Some(true),
            _ => {
                wrong("status", "has to be firing or resolved");
                None
            }
        };
        // One that is far ahead would hide all that comes later.
        let since = moment(&alert.starts_at).filter(|since| *since <= now + AHEAD);
        if since.is_none() {
            wrong("startsAt", "has to be a time of RFC 3339, from 1970 to tomorrow");
        }
        // Of an alert that fires it is the time at which it would be given up, or the year 1.
        let end = moment(&alert.ends_at);
        if resolved == Some(true) && end.is_none() {
            wrong(
                "endsAt",
                "has to be a time of RFC 3339, from 1970 on, of an alert that is resolved",
            );
        }
        if let (Some(resolved), Some(since)) = (resolved, since) {
            told.push(Told {
                fingerprint: alert.fingerprint,
                labels: alert.labels,
                annotations: alert.annotations,
                since,
                resolved: end.filter(|_| resolved),
            });
        }
    }
    if mistakes.is_empty() { Ok(told) } else { Err(Problem::invalid(mistakes)) }
}

/// A time of RFC 3339 in nanoseconds since 1970. Go writes an offset where the sender's clock has one.
fn moment(text: &str) -> Option<u64> {
    let (clock, ahead) = match text.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let (clock, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let (sign, offset) = offset.split_at_checked(1)?;
            let (hours, minutes) = offset.split_once(':')?;
            let digits = |text: &str| text.len() == 2 && text.bytes().all(|it| it.is_ascii_digit());
            if !digits(hours) || !digits(minutes) {
                return None;
            }
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3_600 + minutes * 60;
            (
                clock,
                match sign {
                    "+" => seconds,
                    "-" => -seconds,
                    _ => return None,
                },
            )
        }
    };
    let local = humantime::parse_rfc3339(&format!("{clock}Z")).ok()?;
    let offset = Duration::from_secs(ahead.unsigned_abs());
    let utc = if ahead < 0 { local.checked_add(offset)? } else { local.checked_sub(offset)? };
    utc.duration_since(UNIX_EPOCH).ok().and_then(|it| u64::try_from(it.as_nanos()).ok())
}

/// Nanoseconds since 1970.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        const SECOND: u64 = 1_000_000_000;
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", Some(SECOND)),
            ("2018-08-03T09:52:26.739266876+02:00", Some(1_533_282_746_739_266_876)),
            ("2018-08-03T07:52:26.739266876Z", Some(1_533_282_746_739_266_876)),
            ("2018-08-03T02:22:26.739266876-05:30", Some(1_533_282_746_739_266_876)),
            ("1970-01-01T02:00:01+02:00", Some(SECOND)),
            ("1970-01-01T02:00:01+02:01", None),
            ("0001-01-01T00:00:00Z", None),
            ("", None),
            ("Z", None),
            ("+02:00", None),
            ("2018-08-03T09:52:26+2:00", None),
            ("2018-08-03T09:52:26+-2:00", None),
            ("2018-08-03T09:52:26+24:00", None),
            ("2018-08-03T09:52:26", None),
            ("yesterday", None),
            ("éééééé", None),
        ] {
            assert_eq!(moment(text), expected, "{text}");
        }
    }
}
