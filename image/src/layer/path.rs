//! Names in a tar, made relative to the layer's root.

use super::LayerError;

const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;

/// A path below a layer's root: no leading slash, no `.`, no `..`, no empty component. Empty is the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct TreePath(Vec<u8>);

impl TreePath {
    /// A leading slash means the layer's root, as everywhere in the field; a `..` that would leave the
    /// root is refused, as nothing but an attack has it.
    pub(crate) fn parse(name: &[u8]) -> Result<TreePath, LayerError> {
        if name.contains(&0) {
            return Err(LayerError::malformed(name, "name holds a NUL byte"));
        }
        let mut components: Vec<&[u8]> = Vec::new();
        for component in name.split(|b| *b == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    components.pop().ok_or_else(|| LayerError::Escape { entry: lossy(name) })?;
                }
                long if long.len() > MAX_NAME => {
                    return Err(LayerError::malformed(name, "name is longer than 255 bytes"));
                }
                component => components.push(component),
            }
        }
        let path = components.join(&b'/');
        if path.len() > MAX_PATH {
            return Err(LayerError::malformed(name, "path is longer than 4095 bytes"));
        }
        Ok(TreePath(path))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The folder, and the name in it. The root has an empty name.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (b"", &self.0),
        }
    }

    pub(crate) fn parent(&self) -> TreePath {
        TreePath(self.split().0.to_vec())
    }

    pub(crate) fn join(&self, name: &[u8]) -> TreePath {
        if self.is_root() {
            return TreePath(name.to_vec());
        }
        TreePath([&self.0, &b"/"[..], name].concat())
    }

    /// Whether this is `other` or lies below it.
    pub(crate) fn is_within(&self, other: &TreePath) -> bool {
        other.is_root()
            || self.0.strip_prefix(&other.0[..]).is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
    }

    /// Every folder above this path, the root not counted, outermost first.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = TreePath> {
        let ends = self.0.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(end, _)| end);
        ends.map(|end| TreePath(self.0[..end].to_vec()))
    }
}

pub(crate) fn lossy(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(300).collect();
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(name: &str) -> Option<String> {
        TreePath::parse(name.as_bytes()).ok().map(|path| String::from_utf8(path.0).unwrap())
    }

    #[test]
    fn cleans_names() {
        assert_eq!(parse("./a/b/").as_deref(), Some("a/b"));
        assert_eq!(parse("/etc/passwd").as_deref(), Some("etc/passwd"));
        assert_eq!(parse("a/./b//c").as_deref(), Some("a/b/c"));
        assert_eq!(parse("a/../b").as_deref(), Some("b"));
        assert_eq!(parse("./").as_deref(), Some(""));
        assert_eq!(parse("../a"), None);
        assert_eq!(parse("/../a"), None);
        assert_eq!(parse("a/../../b"), None);
        assert_eq!(parse("a\0b"), None);
        assert_eq!(parse(&"a".repeat(256)), None);
        assert_eq!(parse(&"a/".repeat(2500)), None);
    }

    #[test]
    fn knows_what_is_within() {
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(path("a").is_within(&path("")));
        assert!(!path("ab").is_within(&path("a")));
        let above: Vec<_> = path("a/b/c").ancestors().collect();
        assert_eq!(above, [path("a"), path("a/b")]);
    }

    proptest! {
        #[test]
        fn never_leaves_the_root(name in "[a./]{0,40}") {
            if let Ok(path) = TreePath::parse(name.as_bytes()) {
                let text = String::from_utf8(path.0.clone()).unwrap();
                prop_assert!(!text.starts_with('/'));
                prop_assert!(text.is_empty() || text.split('/').all(|c| !matches!(c, "" | "." | "..")));
                prop_assert_eq!(TreePath::parse(text.as_bytes()).unwrap(), path);
            }
        }
    }
}
