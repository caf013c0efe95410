//! `$(VAR)` in commands, arguments and values.

use std::collections::HashMap;

/// Replaces `$(NAME)` by the variable's value. `$$` is a dollar sign, so `$$(NAME)` stays `$(NAME)`; an unknown
/// variable stays as written. The rules are those of Kubernetes' `third_party/forked/golang/expansion`.
pub(crate) fn expand(text: &str, variables: &HashMap<&str, &str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.get(1..).unwrap_or_default();
        if let Some(more) = after.strip_prefix('$') {
            out.push('$');
            rest = more;
        } else if let Some((name, more)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = more;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_kubernetes_does() {
        let variables = HashMap::from([("A", "1"), ("B", "$(A)"), ("", "empty")]);
        for (text, expanded) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(C)", "$(C)"),
            ("$(B)", "$(A)"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$$$$", "$$"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &variables), expanded, "{text}");
        }
    }
}
