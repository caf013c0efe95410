//! What runs in a container: the image's wishes and the caller's, merged as the kubelet expects (Kubernetes,
//! "Define a Command and Arguments for a Container").

use oci_spec::image::Config as ImageConfig;
use serde_json::{Value, json};

use super::Input;
use super::capabilities::Capabilities;
use super::signal::parse_signal;
use crate::error::{Error, Result};
use crate::store::{ContainerRecord, User};
use crate::types::ContainerSpec;

/// Where programs are looked for when neither image nor caller say.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments, environment and directory of a container's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) cwd: String,
}

/// Merges the image's words with the caller's.
pub(crate) fn merge_command(spec: &ContainerSpec, image: &ImageConfig, hostname: &str) -> Result<Command> {
    let list = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let mut args = match spec.command.is_empty() {
        true => list(image.entrypoint()),
        false => spec.command.clone(),
    };
    args.extend(match spec.command.is_empty() && spec.args.is_empty() {
        true => list(image.cmd()),
        false => spec.args.clone(),
    });
    if args.is_empty() {
        let problem = format!("neither the container nor image {:?} names a program", spec.image);
        return Err(Error::Invalid { field: "command", problem });
    }
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if spec.tty {
        env.push("TERM=xterm".to_owned());
    }
    list(image.env()).into_iter().for_each(|entry| set(&mut env, entry));
    spec.env.iter().for_each(|(name, value)| set(&mut env, format!("{name}={value}")));
    let cwd = [spec.working_dir.as_str(), image.working_dir().as_deref().unwrap_or_default(), "/"];
    let cwd = cwd.into_iter().find(|dir| !dir.is_empty()).unwrap_or("/");
    Ok(Command { args, env, cwd: absolute(cwd) })
}

/// An image may say `app` for `/app`.
fn absolute(cwd: &str) -> String {
    if cwd.starts_with('/') { cwd.to_owned() } else { format!("/{cwd}") }
}

/// The newer value of a name takes the older's place.
fn set(env: &mut Vec<String>, entry: String) {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let wanted = name(&entry);
    match env.iter_mut().find(|old| name(old) == wanted) {
        Some(old) => *old = entry,
        None => env.push(entry),
    }
}

/// The signal that asks a container to end: the caller's choice, the image's, SIGTERM.
pub(crate) fn stop_signal(spec: &ContainerSpec, image: &ImageConfig) -> Result<i32> {
    let image = image.stop_signal().as_deref().unwrap_or_default();
    match [spec.stop_signal.as_str(), image].into_iter().find(|name| !name.is_empty()) {
        Some(name) => parse_signal(name),
        None => Ok(libc::SIGTERM),
    }
}

/// `process` of a container's `config.json`.
pub(super) fn process(input: &Input, capabilities: &Capabilities) -> Result<Value> {
    let (command, spec) = (input.command, &input.container.spec);
    let mut env = command.env.clone();
    let home = &input.container.user.home;
    if !home.is_empty() && !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    if let Some(text) = command.args.iter().chain(&env).find(|text| text.contains('\0')) {
        return Err(Error::Invalid { field: "command", problem: format!("{text:?} contains a NUL") });
    }
    let mut process = json!({
        "terminal": spec.tty,
        "user": user(&input.container.user),
        "args": command.args,
        "env": env,
        "cwd": command.cwd,
        "capabilities": capabilities.to_json(),
        "noNewPrivileges": spec.security.no_new_privs,
    });
    if let Some(adjustment) = input.container.resources.oom_score_adj {
        process["oomScoreAdj"] = json!(adjustment);
    }
    if !spec.security.apparmor_profile.is_empty() && !spec.security.privileged {
        process["apparmorProfile"] = json!(spec.security.apparmor_profile);
    }
    Ok(process)
}

fn user(user: &User) -> Value {
    json!({ "uid": user.uid, "gid": user.gid, "additionalGids": user.groups })
}

/// The OCI process object of an exec: as the container's own, with other arguments.
pub(crate) fn exec_process(
    container: &ContainerRecord,
    own: &Value,
    cmd: &[String],
    tty: bool,
) -> Result<Value> {
    if cmd.is_empty() {
        return Err(Error::Invalid { field: "cmd", problem: "names no program".to_owned() });
    }
    let mut process = own.clone();
    process["args"] = json!(cmd);
    process["terminal"] = json!(tty);
    let env = process["env"].as_array_mut();
    if let Some(env) = env.filter(|_| tty && !container.spec.tty) {
        let has_term = |entry: &Value| entry.as_str().is_some_and(|entry| entry.starts_with("TERM="));
        if !env.iter().any(has_term) {
            env.push(json!("TERM=xterm"));
        }
    }
    Ok(process)
}

#[cfg(test)]
mod tests {
    use oci_spec::image::ConfigBuilder;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn image(entrypoint: &str, cmd: &str) -> ImageConfig {
        ConfigBuilder::default().entrypoint(words(entrypoint)).cmd(words(cmd)).build().unwrap()
    }

    #[test]
    fn entry_point_and_command() {
        for (entrypoint, cmd, command, args, result) in [
            ("/entry", "a b", "", "", "/entry a b"),
            ("/entry", "a b", "", "x", "/entry x"),
            ("/entry", "a b", "/own", "", "/own"),
            ("/entry", "a b", "/own", "x", "/own x"),
            ("", "sh", "", "", "sh"),
            ("", "sh", "", "ls -l", "ls -l"),
        ] {
            let spec =
                ContainerSpec { command: words(command), args: words(args), ..ContainerSpec::default() };
            assert_eq!(merge_command(&spec, &image(entrypoint, cmd), "h").unwrap().args, words(result));
        }
        let error =
            merge_command(&ContainerSpec { image: "i".into(), ..Default::default() }, &image("", ""), "h");
        assert_eq!(
            error.unwrap_err().to_string(),
            "command: neither the container nor image \"i\" names a program"
        );
    }

    #[test]
    fn environment_and_directory() {
        let image = ConfigBuilder::default()
            .env(words("A=1 B=2"))
            .cmd(words("x"))
            .working_dir("app".to_owned())
            .build()
            .unwrap();
        let env = vec![("B".to_owned(), "3=4".to_owned()), ("C".to_owned(), String::new())];
        let merged = merge_command(&ContainerSpec { env, ..Default::default() }, &image, "web").unwrap();
        assert_eq!(merged.env, [PATH, "HOSTNAME=web", "A=1", "B=3=4", "C="]);
        assert_eq!(merged.cwd, "/app");
        let own = ContainerSpec { working_dir: "/srv".into(), tty: true, ..Default::default() };
        let merged = merge_command(&own, &image, "web").unwrap();
        assert_eq!(merged.cwd, "/srv");
        assert!(merged.env.contains(&"TERM=xterm".to_owned()));
    }

    #[test]
    fn stop_signals() {
        let image = ConfigBuilder::default().stop_signal("SIGQUIT".to_owned()).build().unwrap();
        let own = ContainerSpec { stop_signal: "SIGINT".into(), ..Default::default() };
        assert_eq!(stop_signal(&own, &image).unwrap(), libc::SIGINT);
        assert_eq!(stop_signal(&ContainerSpec::default(), &image).unwrap(), libc::SIGQUIT);
        assert_eq!(stop_signal(&ContainerSpec::default(), &ImageConfig::default()).unwrap(), libc::SIGTERM);
    }
}
