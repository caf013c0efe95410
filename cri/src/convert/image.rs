//! Images and credentials.

use reeve_engine::image::{Auth, Image};
use reeve_proto::cri;

use super::fault::Fault;

/// The reference or id that a request names.
pub(crate) fn name(field: &str, spec: Option<&cri::ImageSpec>) -> Result<String, Fault> {
    let Some(spec) = spec.filter(|spec| !spec.image.is_empty()) else {
        return Err(Fault::missing(format!("{field}.image")));
    };
    // Handlers differ in nothing that images know of.
    super::sandbox::handler(&spec.runtime_handler)?;
    Ok(spec.image.clone())
}

/// Credentials, the most specific first; none when all fields are empty.
pub(crate) fn auth(config: Option<&cri::AuthConfig>) -> Result<Option<Auth>, Fault> {
    let Some(config) = config else { return Ok(None) };
    let auth = if !config.registry_token.is_empty() {
        Auth::registry_token(&config.registry_token)
    } else if !config.identity_token.is_empty() {
        Auth::identity_token(&config.identity_token)
    } else if !config.username.is_empty() {
        Auth::basic(&config.username, &config.password)
    } else if !config.auth.is_empty() {
        Auth::encoded(&config.auth).map_err(|error| Fault::invalid("auth.auth", error))?
    } else {
        return Ok(None);
    };
    Ok(Some(if config.server_address.is_empty() { auth } else { auth.for_server(&config.server_address) }))
}

/// What a client gets to see of an image.
pub(crate) fn to_cri(image: &Image) -> cri::Image {
    let (uid, username) = user(image.config.config().as_ref().and_then(|config| config.user().as_deref()));
    cri::Image {
        id: image.id.to_string(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        size: image.size,
        uid,
        username,
        spec: None,
        pinned: image.pinned,
    }
}

/// The user of an image's configuration, `user[:group]`: a number is an id, all else a name. The kubelet needs
/// this to enforce runAsNonRoot; an image that says nothing runs as root, and CRI says that with uid 0.
fn user(user: Option<&str>) -> (Option<cri::Int64Value>, String) {
    let user = user.and_then(|user| user.split(':').next()).unwrap_or_default();
    if user.is_empty() {
        return (Some(cri::Int64Value { value: 0 }), String::new());
    }
    match user.parse() {
        Ok(value) => (Some(cri::Int64Value { value }), String::new()),
        Err(_) => (None, user.to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_an_image_is_a_number_or_a_name() {
        let id = |value| Some(cri::Int64Value { value });
        assert_eq!(user(None), (id(0), String::new()));
        assert_eq!(user(Some("")), (id(0), String::new()));
        assert_eq!(user(Some("1002")), (id(1002), String::new()));
        assert_eq!(user(Some("1003:1003")), (id(1003), String::new()));
        assert_eq!(user(Some("www-data:www-data")), (None, "www-data".to_owned()));
    }

    #[test]
    fn every_kind_of_credential_is_understood() {
        let config = |change: fn(&mut cri::AuthConfig)| {
            let mut config = cri::AuthConfig::default();
            change(&mut config);
            auth(Some(&config))
        };
        assert!(config(|_| {}).unwrap().is_none());
        assert!(config(|c| c.auth = "dXNlcjpwYXNz".to_owned()).unwrap() == Some(Auth::basic("user", "pass")));
        assert!(config(|c| c.username = "user".to_owned()).unwrap() == Some(Auth::basic("user", "")));
        assert!(config(|c| c.registry_token = "t".to_owned()).unwrap() == Some(Auth::registry_token("t")));
        assert!(config(|c| c.identity_token = "t".to_owned()).unwrap() == Some(Auth::identity_token("t")));
        assert!(config(|c| c.auth = "%".to_owned()).is_err());
    }

    #[test]
    fn a_request_without_a_name_is_refused() {
        assert!(name("image", None).is_err());
        assert!(name("image", Some(&cri::ImageSpec::default())).is_err());
    }
}
