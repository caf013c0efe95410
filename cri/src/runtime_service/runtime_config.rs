use reeve_proto::cri::{
    CgroupDriver, LinuxRuntimeConfiguration, RuntimeConfigRequest, RuntimeConfigResponse,
};
use tonic::Status;

use super::RuntimeService;

pub(super) async fn call(
    service: &RuntimeService,
    _request: RuntimeConfigRequest,
) -> Result<RuntimeConfigResponse, Status> {
    let driver = match service.engine.status().cgroup_driver {
        "systemd" => CgroupDriver::Systemd,
        _ => CgroupDriver::Cgroupfs,
    };
    Ok(RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver: driver as i32 }) })
}
