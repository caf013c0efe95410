//! Checks beyond types, as the API server makes them (`pkg/apis/core/validation` in Kubernetes).

mod container;
mod names;
mod spec;

use k8s_openapi::api::core::v1::Pod;

/// Something wrong at a path such as `spec.containers[0].name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub path: String,
    /// What.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// Collects violations below a path.
pub(crate) struct Check<'a> {
    path: String,
    found: &'a mut Vec<Violation>,
}

impl Check<'_> {
    fn at(&mut self, field: &str) -> Check<'_> {
        let path = if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) };
        Check { path, found: self.found }
    }

    fn item(&mut self, field: &str, index: usize) -> Check<'_> {
        self.at(&format!("{field}[{index}]"))
    }

    fn fail(&mut self, message: impl Into<String>) {
        self.fail_with(message, None);
    }

    fn fail_with(&mut self, message: impl Into<String>, hint: Option<String>) {
        self.found.push(Violation { path: self.path.clone(), message: message.into(), hint });
    }

    /// Refuses a value that is none of `allowed`.
    fn one_of(&mut self, value: &str, allowed: &[&str]) {
        if !allowed.contains(&value) {
            let hint = match crate::suggest::nearest(value, allowed) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("one of {}", allowed.join(", ")),
            };
            self.fail_with(format!("{value:?} is not a value of this field"), Some(hint));
        }
    }

    fn at_least(&mut self, value: impl Into<i64>, least: i64) {
        let value = value.into();
        if value < least {
            self.fail(format!("{value} is less than {least}"));
        }
    }
}

/// Everything wrong with a pod whose defaults are applied.
pub fn validate(pod: &Pod) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut check = Check { path: String::new(), found: &mut found };
    names::metadata(&mut check.at("metadata"), &pod.metadata);
    match &pod.spec {
        Some(spec) => spec::pod_spec(&mut check.at("spec"), spec),
        None => check.fail("the pod has no spec"),
    }
    found
}
