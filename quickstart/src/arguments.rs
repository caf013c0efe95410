//! What follows the verb: words, and options with a value.

use std::time::Duration;

/// Parsed arguments.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    words: Vec<String>,
    options: Vec<(String, String)>,
}

impl Arguments {
    /// Takes `--name value` and `--name=value` as options, and all after `--` as words.
    pub(crate) fn parse(all: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments::default();
        let mut all = all;
        while let Some(word) = all.next() {
            match word.strip_prefix("--") {
                None => arguments.words.push(word),
                Some("") => arguments.words.extend(all.by_ref()),
                Some(option) => {
                    let (name, value) = match option.split_once('=') {
                        Some((name, value)) => (name.to_owned(), value.to_owned()),
                        None => {
                            let value = all.next().ok_or_else(|| format!("option {word} needs a value"))?;
                            (option.to_owned(), value)
                        }
                    };
                    arguments.options.push((name, value));
                }
            }
        }
        Ok(arguments)
    }

    /// All words.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// The word at `index`, called `name` in the usage.
    pub(crate) fn word(&self, index: usize, name: &str) -> Result<&str, String> {
        self.words.get(index).map(String::as_str).ok_or_else(|| format!("{name} is missing"))
    }

    /// The value of an option.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A number from an option.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        let Some(text) = self.option(name) else {
            return Ok(default);
        };
        text.parse().map_err(|_| format!("--{name} {text}: not a number that fits"))
    }

    /// A time from an option, in seconds.
    pub(crate) fn seconds(&self, name: &str, default: u32) -> Result<Duration, String> {
        seconds(self.option(name).unwrap_or(&default.to_string()))
    }
}

/// A number of seconds, with a fraction or without.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Duration::try_from_secs_f64(number).map_err(|error| format!("{text} seconds: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn options_stand_anywhere_and_the_last_one_counts() {
        let arguments = parse("a --port 1 b --port=2 -- --port").unwrap();
        assert_eq!(arguments.words(), ["a", "b", "--port"]);
        assert_eq!(arguments.number("port", 0u16), Ok(2));
        assert_eq!(arguments.seconds("after", 3), Ok(Duration::from_secs(3)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse("--port").unwrap_err(), "option --port needs a value");
        assert!(parse("--port 70000").unwrap().number("port", 1u16).unwrap_err().contains("70000"));
        assert!(seconds("-1").unwrap_err().starts_with("-1 seconds"));
    }
}
