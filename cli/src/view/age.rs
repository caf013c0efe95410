//! Ages as kubectl writes them (`k8s.io/apimachinery` duration.HumanDuration): two units at most, and the
//! second one only while it still says something.

use k8s_openapi::jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// One row of the ladder: below `until` seconds, show `unit` and, if set, the rest in `rest`.
struct Rung {
    until: i64,
    unit: (i64, char),
    rest: Option<(i64, char)>,
}

const LADDER: [Rung; 9] = [
    Rung { until: 2 * MINUTE, unit: (1, 's'), rest: None },
    Rung { until: 10 * MINUTE, unit: (MINUTE, 'm'), rest: Some((1, 's')) },
    Rung { until: 3 * HOUR, unit: (MINUTE, 'm'), rest: None },
    Rung { until: 8 * HOUR, unit: (HOUR, 'h'), rest: Some((MINUTE, 'm')) },
    Rung { until: 2 * DAY, unit: (HOUR, 'h'), rest: None },
    Rung { until: 8 * DAY, unit: (DAY, 'd'), rest: Some((HOUR, 'h')) },
    Rung { until: 2 * YEAR, unit: (DAY, 'd'), rest: None },
    Rung { until: 8 * YEAR, unit: (YEAR, 'y'), rest: Some((DAY, 'd')) },
    Rung { until: i64::MAX, unit: (YEAR, 'y'), rest: None },
];

/// `seconds` as kubectl shows an age; clocks may differ by a second, more than that is `<invalid>`.
pub(crate) fn human(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".into();
    }
    let seconds = seconds.max(0);
    let rung = LADDER.iter().find(|rung| seconds < rung.until).unwrap_or(&LADDER[LADDER.len() - 1]);
    let (unit, letter) = rung.unit;
    let whole = seconds / unit;
    match rung.rest.map(|(rest, letter)| (seconds % unit / rest, letter)) {
        Some((rest, rest_letter)) if rest > 0 => format!("{whole}{letter}{rest}{rest_letter}"),
        _ => format!("{whole}{letter}"),
    }
}

/// The age of `then` at `now`, or `<unknown>` where nothing was recorded.
pub(crate) fn since(then: Option<&Timestamp>, now: Timestamp) -> String {
    match then {
        Some(then) => human(now.as_second() - then.as_second()),
        None => "<unknown>".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_kubectl() {
        let table = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (59, "59s"),
            (119, "119s"),
            (120, "2m"),
            (192, "3m12s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 5 * MINUTE, "3h5m"),
            (8 * HOUR, "8h"),
            (2 * DAY - 1, "47h"),
            (2 * DAY, "2d"),
            (2 * DAY + 3 * HOUR, "2d3h"),
            (8 * DAY + HOUR, "8d"),
            (2 * YEAR - 1, "729d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + DAY, "2y1d"),
            (8 * YEAR + 30 * DAY, "8y"),
        ];
        for (seconds, text) in table {
            assert_eq!(human(seconds), text, "{seconds} s");
        }
    }

    #[test]
    fn nothing_recorded_is_unknown() {
        assert_eq!(since(None, Timestamp::UNIX_EPOCH), "<unknown>");
    }
}
