//! Names, labels and annotations.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Check;

/// Sum of all annotations' sizes that the API server allows.
const MAX_ANNOTATIONS: usize = 256 << 10;

pub(super) fn metadata(check: &mut Check<'_>, metadata: &ObjectMeta) {
    match metadata.name.as_deref().unwrap_or_default() {
        "" => check.at("name").fail("the pod has no name"),
        name => subdomain(&mut check.at("name"), name),
    }
    label_name(&mut check.at("namespace"), metadata.namespace.as_deref().unwrap_or_default());
    for (key, value) in metadata.labels.iter().flatten() {
        qualified(&mut check.at("labels"), key);
        label_value(&mut check.at("labels"), value);
    }
    for key in metadata.annotations.iter().flatten().map(|(key, _)| key) {
        qualified(&mut check.at("annotations"), key);
    }
    let size: usize = metadata.annotations.iter().flatten().map(|(k, v)| k.len() + v.len()).sum();
    if size > MAX_ANNOTATIONS {
        check.at("annotations").fail(format!("{size} bytes are more than the 262144 allowed"));
    }
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// A DNS label as of RFC 1123: lower case letters, digits and dashes, at most 63.
pub(super) fn label_name(check: &mut Check<'_>, name: &str) {
    let good = (1..=63).contains(&name.len())
        && name.chars().all(|c| is_alphanumeric(c) || c == '-')
        && name.starts_with(is_alphanumeric)
        && name.ends_with(is_alphanumeric);
    if !good {
        check.fail_with(
            format!("{name:?} is not a name"),
            Some("at most 63 of a-z, 0-9 and -, starting and ending with a letter or digit".into()),
        );
    }
}

/// DNS labels joined by dots, at most 253.
fn subdomain(check: &mut Check<'_>, name: &str) {
    let label = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| is_alphanumeric(c) || c == '-')
            && part.starts_with(is_alphanumeric)
            && part.ends_with(is_alphanumeric)
    };
    if name.len() > 253 || !name.split('.').all(label) {
        check.fail_with(
            format!("{name:?} is not a name"),
            Some("at most 253 of a-z, 0-9, - and ., starting and ending with a letter or digit".into()),
        );
    }
}

fn is_word(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A label's key: a word, maybe after a domain and a slash.
fn qualified(check: &mut Check<'_>, key: &str) {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    if !is_word(name) {
        check.fail(format!(
            "{key:?} is not a key: at most 63 letters, digits, '-', '_' and '.' after the '/'"
        ));
    } else if let Some(prefix) = prefix {
        subdomain(check, &prefix.to_lowercase());
    }
}

fn label_value(check: &mut Check<'_>, value: &str) {
    if !value.is_empty() && !is_word(value) {
        check.fail(format!("{value:?} is not a label's value: at most 63 letters, digits, '-', '_' and '.'"));
    }
}

/// The name of a port: RFC 6335.
pub(super) fn port_name(check: &mut Check<'_>, name: &str) {
    let good = (1..=15).contains(&name.len())
        && name.chars().all(|c| is_alphanumeric(c) || c == '-')
        && name.chars().any(|c| c.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if !good {
        check.fail_with(
            format!("{name:?} is not a port's name"),
            Some("at most 15 of a-z, 0-9 and single -, with at least one letter".into()),
        );
    }
}
