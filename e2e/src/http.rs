//! One HTTP request from inside a lab.

use crate::Lab;

/// Status and body of a GET, or nothing while nobody answers.
pub fn get(lab: &Lab, url: &str) -> Option<(u16, String)> {
    let output = lab.output(["curl", "-s", "-k", "-m", "5", "-w", "\n%{http_code}", url]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n')?;
    let status: u16 = status.trim().parse().ok()?;
    (status != 0).then(|| (status, body.to_owned()))
}
