//! Which devices the processes of a cgroup may use.
//!
//! Everything starts refused; the configuration's rules apply in their order, and after them those for the devices
//! that every container has.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Cgroup, bpf, write};
use crate::Error;

/// One rule. No major or minor stands for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: Kind,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    All,
    Block,
    Char,
}

/// Making the node, reading it, writing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Access {
    pub(super) mknod: bool,
    pub(super) read: bool,
    pub(super) write: bool,
}

const RWM: Access = Access { mknod: true, read: true, write: true };
const MKNOD: Access = Access { mknod: true, read: false, write: false };

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule { allow: true, kind: Kind::Char, major: Some(major), minor, access: RWM }
}

/// null, zero, full, random, urandom, tty, ptmx and the terminals of devpts; making any node harms nobody while it
/// cannot be opened. No tun: a container that needs it says so.
const ALWAYS: [Rule; 10] = [
    Rule { allow: true, kind: Kind::Char, major: None, minor: None, access: MKNOD },
    Rule { allow: true, kind: Kind::Block, major: None, minor: None, access: MKNOD },
    character(1, Some(3)),
    character(1, Some(5)),
    character(1, Some(7)),
    character(1, Some(8)),
    character(1, Some(9)),
    character(5, Some(0)),
    character(5, Some(2)),
    character(136, None),
];

/// `asked` and what every container has, in the order of application.
pub(super) fn rules(asked: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, Error> {
    let mut rules = Vec::with_capacity(asked.len() + ALWAYS.len());
    for (index, rule) in asked.iter().enumerate() {
        rules.push(parse(rule, &format!("linux.resources.devices[{index}]"))?);
    }
    rules.extend(ALWAYS);
    Ok(rules)
}

fn parse(rule: &LinuxDeviceCgroup, field: &str) -> Result<Rule, Error> {
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => Kind::All,
        Some(LinuxDeviceType::B) => Kind::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Kind::Char,
        Some(LinuxDeviceType::P) => {
            return Err(Error::config(format!("{field}.type"), "a FIFO is no device"));
        }
    };
    let number = |name: &str, value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| Error::config(format!("{field}.{name}"), format!("{value} is no device number"))),
    };
    let (major, minor) = (number("major", rule.major())?, number("minor", rule.minor())?);
    if kind == Kind::All && (major.is_some() || minor.is_some()) {
        return Err(Error::config(field, "a rule for all types of device cannot name a number"));
    }
    let mut access = Access::default();
    // All devices are meant with every access, whatever is named beside them.
    let text = if kind == Kind::All {
        Some("rwm")
    } else {
        rule.access().as_deref().filter(|text| !text.is_empty())
    };
    for letter in text.unwrap_or("rwm").chars() {
        match letter {
            'r' => access.read = true,
            'w' => access.write = true,
            'm' => access.mknod = true,
            other => {
                return Err(Error::config(
                    format!("{field}.access"),
                    format!("{other:?} is not one of r, w, m"),
                ));
            }
        }
    }
    Ok(Rule { allow: rule.allow(), kind, major, minor, access })
}

impl Rule {
    /// The form of cgroup v1's devices.allow and devices.deny.
    fn v1(&self) -> String {
        let kind = match self.kind {
            Kind::All => return String::from("a"),
            Kind::Block => 'b',
            Kind::Char => 'c',
        };
        let number =
            |number: Option<u32>| number.map_or_else(|| String::from("*"), |number| number.to_string());
        let letters = [(self.access.read, 'r'), (self.access.write, 'w'), (self.access.mknod, 'm')];
        let access: String = letters.iter().filter(|(has, _)| *has).map(|(_, letter)| letter).collect();
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

impl Cgroup {
    pub(super) fn set_devices(&self, rules: &[Rule]) -> Result<(), Error> {
        // systemd's scope does not exist before its first process; its rules come with `attach`.
        if self.unified {
            return if self.path.as_os_str().is_empty() {
                Ok(())
            } else {
                self.directories().try_for_each(|directory| bpf::replace(&directory, rules))
            };
        }
        let Some(directory) = self.controller("devices") else { return Ok(()) };
        write(&directory.join("devices.deny"), "a")?;
        for rule in rules {
            let file = if rule.allow { "devices.allow" } else { "devices.deny" };
            write(&directory.join(file), &rule.v1())?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn parsed(json: &str) -> Result<Vec<Rule>, Error> {
        rules(&serde_json::from_str::<Vec<LinuxDeviceCgroup>>(json).expect("json"))
    }

    #[test]
    fn rules_keep_their_order_and_end_with_the_common_devices() {
        let rules = parsed(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":200,"access":"rw"},
                {"allow":true,"type":"b","major":8,"access":"r"}]"#,
        )
        .expect("rules");
        let v1: Vec<_> = rules.iter().map(|rule| (rule.allow, rule.v1())).collect();
        assert_eq!(v1[0], (false, "a".to_owned()));
        assert_eq!(v1[1], (true, "c 10:200 rw".to_owned()));
        assert_eq!(v1[2], (true, "b 8:* r".to_owned()));
        assert_eq!(v1[3], (true, "c *:* m".to_owned()));
        assert_eq!(v1.len(), 3 + ALWAYS.len());
    }

    #[test]
    fn wrong_rules_are_refused_by_field() {
        for wrong in [
            r#"[{"allow":true,"type":"c","major":-2}]"#,
            r#"[{"allow":true,"type":"p"}]"#,
            r#"[{"allow":true,"type":"c","access":"rx"}]"#,
            r#"[{"allow":true,"type":"a","major":1}]"#,
        ] {
            let text = parsed(wrong).expect_err(wrong).to_string();
            assert!(text.contains("linux.resources.devices[0]"), "{text}");
        }
    }
}
