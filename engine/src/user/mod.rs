//! Whom a container runs as: the caller's words or the image's, against the image's own /etc/passwd and
//! /etc/group. The image is not to be trusted: its files are opened inside its root only ([`rootfs`]).

mod accounts;
mod rootfs;

use std::sync::Arc;

pub(crate) use accounts::Accounts;

use crate::error::{Error, Result};
use crate::store::User;
use crate::types::Security;
use accounts::{Group, Passwd};

/// Resolves names to numbers. `image_user` is the image's `USER`: `user`, `user:group`, or empty.
pub(crate) fn resolve(security: &Security, image_user: &str, accounts: &Accounts) -> Result<User> {
    let wanted = Wanted::new(security, image_user)?;
    let entry =
        accounts.users.iter().find(|entry| entry.name == wanted.user || entry.uid.to_string() == wanted.user);
    let uid = number(&wanted.user, entry.map(|entry| entry.uid), "/etc/passwd")?;
    let gid = match &wanted.group {
        None => entry.map_or(0, |entry| entry.gid),
        Some(group) => {
            let entry =
                accounts.groups.iter().find(|entry| entry.name == *group || entry.gid.to_string() == *group);
            number(group, entry.map(|entry| entry.gid), "/etc/group")?
        }
    };
    let groups = groups(security, gid, entry, &accounts.groups)?;
    let home = entry.map(|entry| entry.home.as_str()).filter(|home| home.starts_with('/')).unwrap_or("/");
    Ok(User { uid, gid, groups: Arc::new(groups), home: home.to_owned() })
}

/// What is asked for, as text: names or numbers.
struct Wanted {
    user: String,
    group: Option<String>,
}

impl Wanted {
    fn new(security: &Security, image_user: &str) -> Result<Self> {
        let own = match (security.run_as_user, security.run_as_username.as_deref()) {
            (Some(uid), _) => Some(uid.to_string()),
            (None, Some(name)) if !name.is_empty() => Some(name.to_owned()),
            _ => None,
        };
        let own_group = security.run_as_group.map(|gid| gid.to_string());
        if own.is_none() && own_group.is_some() {
            let problem = "a group needs a user beside it".to_owned();
            return Err(Error::Invalid { field: "run_as_group", problem });
        }
        let (image_user, image_group) = match image_user.split_once(':') {
            Some((user, group)) => (user, Some(group.to_owned()).filter(|group| !group.is_empty())),
            None => (image_user, None),
        };
        Ok(match own {
            Some(user) => Self { user, group: own_group },
            None if image_user.is_empty() => Self { user: "0".to_owned(), group: image_group },
            None => Self { user: image_user.to_owned(), group: image_group },
        })
    }
}

/// The entry's number; without an entry the text itself must be one.
fn number(text: &str, entry: Option<u32>, file: &'static str) -> Result<u32> {
    let plain = || text.parse::<u32>().ok().filter(|number| *number <= i32::MAX as u32);
    entry.or_else(plain).ok_or_else(|| Error::UnknownUser { name: text.to_owned(), file })
}

/// The primary group is among them: a file that denies it access by group must see it there too.
fn groups(security: &Security, gid: u32, user: Option<&Passwd>, known: &[Group]) -> Result<Vec<u32>> {
    let mut list = vec![gid];
    if let Some(user) = user.filter(|_| !security.strict_supplemental_groups) {
        list.extend(known.iter().filter(|group| group.members.contains(&user.name)).map(|group| group.gid));
    }
    for gid in &security.supplemental_groups {
        let invalid =
            |_| Error::Invalid { field: "supplemental_groups", problem: format!("{gid} is not a group id") };
        list.push(u32::try_from(*gid).map_err(invalid)?);
    }
    let mut seen = std::collections::HashSet::new();
    list.retain(|gid| seen.insert(*gid));
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::parse(
            "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/bin/false\nodd:x:1:1::relative:\n# comment\nbad:line\n",
            "root:x:0:\nweb:x:33:\nlog:x:50:web,other\n7000:x:70:\n",
        )
    }

    fn ids(security: Security, image_user: &str) -> (u32, u32, Vec<u32>, String) {
        let user = resolve(&security, image_user, &accounts()).unwrap();
        (user.uid, user.gid, user.groups.to_vec(), user.home)
    }

    #[test]
    fn the_images_user() {
        for (image_user, uid, gid, groups, home) in [
            ("", 0, 0, vec![0], "/root"),
            ("web", 33, 33, vec![33, 50], "/srv"),
            ("33", 33, 33, vec![33, 50], "/srv"),
            ("web:log", 33, 50, vec![50], "/srv"),
            ("web:77", 33, 77, vec![77, 50], "/srv"),
            ("1000", 1000, 0, vec![0], "/"),
            ("1000:1001", 1000, 1001, vec![1001], "/"),
            (":log", 0, 50, vec![50], "/root"),
            ("odd", 1, 1, vec![1], "/"),
            ("0:7000", 0, 70, vec![70], "/root"),
        ] {
            assert_eq!(
                ids(Security::default(), image_user),
                (uid, gid, groups, home.to_owned()),
                "{image_user}"
            );
        }
    }

    #[test]
    fn the_callers_user_wins_over_the_images() {
        let by_number = Security { run_as_user: Some(1002), run_as_group: Some(5), ..Security::default() };
        assert_eq!(ids(by_number, "web:log"), (1002, 5, vec![5], "/".into()));
        let by_name = Security { run_as_username: Some("web".into()), ..Security::default() };
        assert_eq!(ids(by_name, "odd:log"), (33, 33, vec![33, 50], "/srv".into()));
        let strict = Security {
            run_as_user: Some(33),
            supplemental_groups: vec![9, 33, 9],
            strict_supplemental_groups: true,
            ..Security::default()
        };
        assert_eq!(ids(strict, ""), (33, 33, vec![33, 9], "/srv".into()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (security, image_user) in [
            (Security::default(), "nobody-here"),
            (Security::default(), "web:nogroup"),
            (Security::default(), "4294967295"),
            (Security { run_as_user: Some(-1), ..Security::default() }, ""),
            (Security { run_as_group: Some(1), ..Security::default() }, "web"),
            (Security { supplemental_groups: vec![-1], ..Security::default() }, ""),
        ] {
            assert!(resolve(&security, image_user, &accounts()).is_err(), "{security:?} {image_user}");
        }
    }
}
