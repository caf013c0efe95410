//! Changing a container while it is there: its limits, its log.

use std::sync::Arc;

use serde_json::Value;

use crate::engine::inner::{Inner, blocking};
use crate::engine::state::ContainerEntry;
use crate::error::{Error, IoContext, Result};
use crate::failpoint;
use crate::spec::update_resources;
use crate::store::{ContainerPhase, ContainerRecord};
use crate::types::Resources;

impl Inner {
    /// The new limits are recorded before they are set, and set again at start-up: a crash in between loses
    /// nothing. Limits that the kernel refuses are taken back.
    pub(crate) async fn update_container(&self, id: &str, resources: Resources) -> Result<()> {
        let entry = self.containers.find(id)?;
        let _operation = entry.operation.lock().await;
        let before = entry.record.get();
        if !matches!(before.phase, ContainerPhase::Created | ContainerPhase::Running) {
            return Err(entry.wrong_state(before.phase, "update it"));
        }
        let mut merged = (*before.resources).clone();
        merged.merge(&resources);
        let merged = Arc::new(merged);
        let intent = |record: &mut ContainerRecord| {
            record.resources = merged;
            record.updating = true;
        };
        entry.record.change(&self.store, intent).await?;
        failpoint::pass("update_container.after_intent");
        let result = self.apply(&entry, &resources).await;
        failpoint::pass("update_container.after_deed");
        let outcome = |record: &mut ContainerRecord| {
            record.updating = false;
            if result.is_err() {
                record.resources = before.resources.clone();
            }
        };
        entry.record.change(&self.store, outcome).await?;
        result
    }

    /// Sets limits on the running container, or writes them where its start will read them.
    pub(crate) async fn apply(&self, entry: &ContainerEntry, resources: &Resources) -> Result<()> {
        let (record, swap) = (entry.record.get(), self.hierarchies.limits_swap());
        if record.phase == ContainerPhase::Running {
            let json = update_resources(resources, swap).to_string();
            return Ok(entry.sandbox.shim.update(&entry.id, json.into_bytes()).await?);
        }
        let path = self.config.bundle_dir(&entry.id).join("config.json");
        let limits = update_resources(&record.resources, swap);
        let adjustment = record.resources.oom_score_adj;
        blocking(move || {
            let text = std::fs::read(&path).at("read", &path)?;
            let damaged = |source: serde_json::Error| Error::Io {
                action: "read",
                path: path.clone(),
                source: source.into(),
            };
            let mut config: Value = serde_json::from_slice(&text).map_err(damaged)?;
            if let (Value::Object(old), Value::Object(new)) = (&mut config["linux"]["resources"], limits) {
                old.extend(new);
            }
            if let Some(adjustment) = adjustment {
                config["process"]["oomScoreAdj"] = adjustment.into();
            }
            let new = path.with_extension("new");
            std::fs::write(&new, config.to_string()).at("write", &new)?;
            std::fs::rename(&new, &path).at("replace", &path)
        })
        .await
    }

    pub(crate) async fn reopen_log(&self, id: &str) -> Result<()> {
        let entry = self.containers.find(id)?;
        entry.running("reopen its log")?;
        Ok(entry.sandbox.shim.reopen_log(&entry.id).await?)
    }
}
