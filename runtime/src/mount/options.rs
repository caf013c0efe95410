//! Mount options by their names in config.json: those of mount(8), and the recursive ones of runtime-spec's
//! config-linux "mount options".

use oci_spec::runtime::Mount;

use crate::Error;
use crate::sys::mount::attr;

/// The options of one mount, sorted by who takes them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `bind` or `rbind`.
    pub(crate) bind: bool,
    /// `rbind`.
    pub(crate) recursive: bool,
    /// `remount`: change the mount that is there.
    pub(crate) remount: bool,
    /// `attr::*` for this mount.
    pub(crate) own: Change,
    /// `attr::*` for this mount and all below it.
    pub(crate) tree: Change,
    /// `MS_SHARED`…, and whether for the mounts below too.
    pub(crate) propagation: Vec<(u64, bool)>,
    /// What the file system itself takes.
    pub(crate) data: Vec<(String, Option<String>)>,
}

/// Attributes to set and to clear.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Change {
    fn set(&mut self, bits: u64) {
        // The access time modes are a field of bits: another mode replaces the whole.
        if bits & attr::ATIME != 0 {
            self.clear |= attr::ATIME;
            self.set &= !attr::ATIME;
        }
        self.clear &= !(bits & !attr::ATIME);
        self.set |= bits;
    }

    fn clear(&mut self, bits: u64) {
        self.set &= !bits;
        self.clear |= if bits & attr::ATIME != 0 { attr::ATIME | bits } else { bits };
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Change::default()
    }
}

/// Names of attributes: the bits, and whether the name sets or clears them.
const ATTRIBUTES: [(&str, u64, bool); 18] = [
    ("ro", attr::RDONLY, true),
    ("rw", attr::RDONLY, false),
    ("nosuid", attr::NOSUID, true),
    ("suid", attr::NOSUID, false),
    ("nodev", attr::NODEV, true),
    ("dev", attr::NODEV, false),
    ("noexec", attr::NOEXEC, true),
    ("exec", attr::NOEXEC, false),
    ("noatime", attr::NOATIME, true),
    ("atime", attr::NOATIME, false),
    ("strictatime", attr::STRICTATIME, true),
    ("nostrictatime", attr::STRICTATIME, false),
    ("relatime", attr::ATIME, false),
    ("norelatime", 0, false),
    ("nodiratime", attr::NODIRATIME, true),
    ("diratime", attr::NODIRATIME, false),
    ("nosymfollow", attr::NOSYMFOLLOW, true),
    ("symfollow", attr::NOSYMFOLLOW, false),
];

const PROPAGATION: [(&str, u64, bool); 8] = [
    ("private", libc::MS_PRIVATE, false),
    ("rprivate", libc::MS_PRIVATE, true),
    ("shared", libc::MS_SHARED, false),
    ("rshared", libc::MS_SHARED, true),
    ("slave", libc::MS_SLAVE, false),
    ("rslave", libc::MS_SLAVE, true),
    ("unbindable", libc::MS_UNBINDABLE, false),
    ("runbindable", libc::MS_UNBINDABLE, true),
];

/// Options that mean what happens anyway.
const NOTHING: [&str; 7] = ["defaults", "async", "silent", "loud", "nolazytime", "nomand", "noiversion"];

/// Extensions of other runtimes and what needs a mapping of ids.
pub(crate) const REFUSED: [&str; 4] = ["idmap", "ridmap", "tmpcopyup", "copysymlink"];

impl Options {
    /// The options of `mount`, which is `mounts[index]`.
    pub(crate) fn of(mount: &Mount, index: usize) -> Result<Options, Error> {
        let mut options = Options::default();
        for name in mount.options().iter().flatten() {
            options.take(name, index)?;
        }
        options.bind |= mount.typ().as_deref() == Some("bind");
        Ok(options)
    }

    fn take(&mut self, name: &str, index: usize) -> Result<(), Error> {
        if REFUSED.contains(&name) {
            return Err(Error::config(
                format!("mounts[{index}].options"),
                format!("{name:?} is not implemented"),
            ));
        }
        if let Some((_, bits, set)) = ATTRIBUTES.iter().find(|(known, ..)| *known == name) {
            if *set { self.own.set(*bits) } else { self.own.clear(*bits) }
        } else if let Some((_, bits, set)) =
            ATTRIBUTES.iter().find(|(known, ..)| name.strip_prefix('r') == Some(known))
        {
            if *set { self.tree.set(*bits) } else { self.tree.clear(*bits) }
        } else if let Some((_, bits, recursive)) = PROPAGATION.iter().find(|(known, ..)| *known == name) {
            self.propagation.push((*bits, *recursive));
        } else {
            match name {
                "bind" => self.bind = true,
                "rbind" => (self.bind, self.recursive) = (true, true),
                "remount" => self.remount = true,
                nothing if NOTHING.contains(&nothing) => {}
                other => {
                    let (key, value) = match other.split_once('=') {
                        Some((key, value)) => (key, Some(value.to_owned())),
                        None => (other, None),
                    };
                    self.data.push((key.to_owned(), value));
                }
            }
        }
        Ok(())
    }

    /// Whether an option for the file system of this name was given.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.data.iter().any(|(known, _)| known == key)
    }
}

/// The options that are taken by name here; others are the file system's own.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let attributes = ATTRIBUTES.iter().map(|(name, ..)| *name);
    let propagation = PROPAGATION.iter().map(|(name, ..)| *name);
    attributes.chain(propagation).chain(NOTHING).chain(["bind", "rbind", "remount"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &[&str]) -> Result<Options, Error> {
        let mut mount = Mount::default();
        mount.set_typ(Some("x".to_owned()));
        mount.set_options(Some(list.iter().map(|name| (*name).to_owned()).collect()));
        Options::of(&mount, 3)
    }

    #[test]
    fn options_go_where_they_belong() {
        let options = parse(&["rbind", "ro", "nosuid", "rslave", "rnoexec", "size=64k", "newinstance"])
            .expect("options");
        assert!(options.bind && options.recursive && !options.remount);
        assert_eq!(options.own, Change { set: attr::RDONLY | attr::NOSUID, clear: 0 });
        assert_eq!(options.tree, Change { set: attr::NOEXEC, clear: 0 });
        assert_eq!(options.propagation, [(libc::MS_SLAVE, true)]);
        assert_eq!(
            options.data,
            [("size".to_owned(), Some("64k".to_owned())), ("newinstance".to_owned(), None)]
        );
    }

    #[test]
    fn the_last_of_two_contraries_holds() {
        assert_eq!(parse(&["ro", "rw"]).expect("options").own, Change { set: 0, clear: attr::RDONLY });
        assert_eq!(parse(&["rw", "ro"]).expect("options").own, Change { set: attr::RDONLY, clear: 0 });
        let atime = parse(&["noatime", "strictatime"]).expect("options").own;
        assert_eq!(atime, Change { set: attr::STRICTATIME, clear: attr::ATIME });
        assert_eq!(parse(&["relatime"]).expect("options").own, Change { set: 0, clear: attr::ATIME });
    }

    #[test]
    fn recursive_names_are_told_from_plain_ones_that_begin_alike() {
        assert_eq!(parse(&["rro"]).expect("options").tree.set, attr::RDONLY);
        assert_eq!(parse(&["rrelatime"]).expect("options").tree.clear, attr::ATIME);
        assert_eq!(parse(&["relatime"]).expect("options").tree, Change::default());
        assert_eq!(parse(&["rw"]).expect("options").tree, Change::default());
    }

    #[test]
    fn what_is_not_done_is_refused_by_field() {
        let text = parse(&["idmap"]).expect_err("refused").to_string();
        assert!(text.contains("mounts[3].options"), "{text}");
    }
}
