use super::StoreError;

/// The kernel's name of this boot (random(4), `/proc/sys/kernel/random/boot_id`).
pub(super) fn boot_id() -> Result<String, StoreError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text =
        std::fs::read_to_string(path).map_err(|source| StoreError::Io { path: path.into(), source })?;
    Ok(text.trim().to_owned())
}
