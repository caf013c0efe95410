//! An image's /etc/passwd (passwd(5)) and /etc/group (group(5)).

use std::path::PathBuf;

use super::rootfs::Rootfs;
use crate::error::Result;

/// Who is known to an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub(super) users: Vec<Passwd>,
    pub(super) groups: Vec<Group>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passwd {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) gid: u32,
    pub(super) members: Vec<String>,
}

impl Accounts {
    /// Reads an image's, given its layers, the top first. An image without the files knows nobody. Blocks.
    pub(crate) fn of_image(lowers: &[PathBuf]) -> Result<Self> {
        let [passwd, group] = Rootfs::read_files(lowers, ["etc/passwd", "etc/group"])?;
        Ok(Self::parse(&passwd, &group))
    }

    /// Lines that make no sense are passed over, as the C library does.
    pub(super) fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(parse_passwd).collect(),
            groups: group.lines().filter_map(parse_group).collect(),
        }
    }
}

fn parse_passwd(line: &str) -> Option<Passwd> {
    let fields: Vec<_> = line.trim().split(':').collect();
    let (&[name, _, uid, gid], rest) = fields.split_first_chunk()?;
    let home = rest.get(1).copied().unwrap_or_default();
    Some(Passwd {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.to_owned(),
    })
}

fn parse_group(line: &str) -> Option<Group> {
    let fields: Vec<_> = line.trim().split(':').collect();
    let (&[name, _, gid], rest) = fields.split_first_chunk()?;
    let members = rest.first().copied().unwrap_or_default().split(',');
    let members = members.map(str::trim).filter(|member| !member.is_empty()).map(str::to_owned);
    Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members: members.collect() })
}
