//! Numbers and times as people read them: short, with a unit, always the same way.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

/// A duration in nanoseconds with three significant digits: `412 µs`, `12.3 ms`, `1.23 s`, `2 min 5 s`.
pub(super) fn duration(nanos: u64) -> String {
    let n = nanos as f64;
    match nanos {
        0 => "0 s".to_owned(),
        1..1_000 => format!("{nanos} ns"),
        1_000..999_500 => format!("{} µs", digits(n / 1e3)),
        999_500..999_500_000 => format!("{} ms", digits(n / 1e6)),
        999_500_000..59_950_000_000 => format!("{} s", digits(n / 1e9)),
        _ => {
            let seconds = nanos / 1_000_000_000;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            if hours > 0 {
                format!("{hours} h {minutes} min")
            } else {
                format!("{minutes} min {seconds} s")
            }
        }
    }
}

/// A duration given in seconds, `–` when there is none to show.
pub(super) fn seconds(value: Option<f64>) -> String {
    match value {
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => duration((seconds * 1e9) as u64),
        _ => "–".to_owned(),
    }
}

/// Three significant digits without an exponent: `0.04`, `7.31`, `42.5`, `1,204`.
pub(super) fn digits(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "−Inf"
        }
        .to_owned();
    }
    let text = match magnitude {
        0.0 => return "0".to_owned(),
        m if m < 0.001 => return format!("{value:.1e}"),
        m if m < 0.995 => format!("{value:.3}"),
        m if m < 9.995 => format!("{value:.2}"),
        m if m < 99.95 => format!("{value:.1}"),
        m if m < 1e15 => return grouped(value),
        _ => return format!("{value:.3e}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn grouped(value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{}", count(value.abs().round() as u64))
}

/// A whole number with thousands separated: `26,159`.
pub(super) fn count(value: u64) -> String {
    let plain = value.to_string();
    let mut text = String::with_capacity(plain.len() + plain.len() / 3);
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 span`, `2 spans`.
pub(super) fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// Bytes with a binary unit: `512 B`, `1.5 MiB`.
pub(super) fn bytes(value: u64) -> String {
    let mut amount = value as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 999.5 {
            return format!("{} {unit}", digits(amount));
        }
        amount /= 1024.0;
    }
    format!("{} TiB", digits(amount))
}

/// A ratio as per cent: `0 %`, `0.04 %`, `12.5 %`.
pub(super) fn percent(ratio: f64) -> String {
    format!("{} %", digits(ratio * 100.0))
}

/// Unix nanoseconds now.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T09:15:02.114Z`.
pub(super) fn rfc3339(unix_nanos: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nanos);
    humantime::format_rfc3339_millis(time).to_string()
}

/// A moment as `<time>`: the clock, and the day before it unless it is today. The script adds how long ago it was.
pub(super) fn time(unix_nanos: u64) -> Markup {
    let text = rfc3339(unix_nanos);
    let (day, clock) = (&text[..10], &text[11..23]);
    let other_day = rfc3339(now())[..10] != *day;
    html! {
        time datetime=(text) title=(format!("{day} {clock} UTC")) {
            @if other_day { span.day { (day) " " } }
            (clock)
        }
    }
}

/// Text from outside, safe to look at: at most `most` characters, and what would be invisible or turn the line around (control
/// characters, bidirectional overrides) becomes visible. Lines and tabs stay.
pub(super) fn clip(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).map(visible).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

fn visible(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\0'..'\x20' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '␡',
        '\u{80}'..='\u{9f}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown() {
        assert_eq!(clip("\x1b[31mred\x1b[0m\r\n\0", 100), "␛[31mred␛[0m␍\n␀");
        assert_eq!(clip("a\u{202e}b", 100), "a\u{fffd}b");
        assert_eq!(clip("héllo", 3), "hél…");
        assert_eq!(clip("abc", 3), "abc");
    }

    #[test]
    fn durations_keep_three_digits_and_change_unit_where_they_would_grow_a_fourth() {
        let cases = [
            (0, "0 s"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (412_345, "412 µs"),
            (999_499, "999 µs"),
            (999_500, "1 ms"),
            (12_345_678, "12.3 ms"),
            (999_999_999, "1 s"),
            (1_234_000_000, "1.23 s"),
            (59_960_000_000, "0 min 59 s"),
            (125_000_000_000, "2 min 5 s"),
            (7_260_000_000_000, "2 h 1 min"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration(nanos), text, "{nanos} ns");
        }
    }

    #[test]
    fn numbers_are_grouped_and_short() {
        assert_eq!(count(26_159), "26,159");
        assert_eq!(count(999), "999");
        assert_eq!(digits(0.0401), "0.04");
        assert_eq!(digits(7.314), "7.31");
        assert_eq!(digits(1204.4), "1,204");
        assert_eq!(digits(f64::INFINITY), "+Inf");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
        assert_eq!(bytes(u64::MAX), "16,777,216 TiB");
        assert_eq!(percent(0.125), "12.5 %");
    }

    #[test]
    fn the_last_representable_moment_is_printed_too() {
        assert!(rfc3339(u64::MAX).starts_with("2554-07-21T"));
    }
}
