//! Credentials for a registry, as CRI's `AuthConfig` and Docker's `config.json` carry them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Digest, Error};

/// Credentials, and optionally the one registry they are for.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    pub(crate) credential: Credential,
    pub(crate) server: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Basic {
        username: String,
        password: String,
    },
    /// A refresh token: exchanged for an access token at the registry's token service.
    Identity(String),
    /// An access token, sent as it is.
    Registry(String),
}

impl Auth {
    /// A user's name and password.
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Auth {
        Credential::Basic { username: username.into(), password: password.into() }.into()
    }

    /// An identity token (OAuth2 refresh token).
    pub fn identity_token(token: impl Into<String>) -> Auth {
        Credential::Identity(token.into()).into()
    }

    /// A registry token (bearer token).
    pub fn registry_token(token: impl Into<String>) -> Auth {
        Credential::Registry(token.into()).into()
    }

    /// The `auth` field of Docker's configuration: base64 of `user:password`.
    pub fn encoded(auth: &str) -> Result<Auth, Error> {
        let bytes = STANDARD
            .decode(auth.trim())
            .map_err(|_| Error::InvalidAuth { reason: "the auth field is not base64" })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::InvalidAuth { reason: "the auth field is not text" })?;
        let (username, password) = text
            .split_once(':')
            .ok_or(Error::InvalidAuth { reason: "the auth field is not user:password" })?;
        Ok(Auth::basic(username, password.trim_end_matches('\0')))
    }

    /// Limits these credentials to one registry, given as host or URL.
    pub fn for_server(mut self, address: &str) -> Auth {
        let host = address.split_once("://").map_or(address, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or_default();
        self.server = (!host.is_empty()).then(|| host.to_owned());
        self
    }

    /// Tells credentials apart without holding them.
    pub(crate) fn fingerprint(&self) -> Digest {
        let (kind, name, secret) = match &self.credential {
            Credential::Basic { username, password } => ("basic", username.as_str(), password),
            Credential::Identity(token) => ("identity", "", token),
            Credential::Registry(token) => ("registry", "", token),
        };
        let server = self.server.as_deref().unwrap_or_default();
        Digest::of(format!("{kind}\0{server}\0{name}\0{secret}").as_bytes())
    }
}

impl From<Credential> for Auth {
    fn from(credential: Credential) -> Auth {
        Auth { credential, server: None }
    }
}

/// Secrets stay out of logs.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.credential {
            Credential::Basic { .. } => "basic",
            Credential::Identity(_) => "identity token",
            Credential::Registry(_) => "registry token",
        };
        write!(f, "Auth({kind})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_encoded_form() {
        assert!(Auth::encoded("dXNlcjpwYTpzcw==").unwrap() == Auth::basic("user", "pa:ss"));
        assert!(Auth::encoded("%%%").is_err());
        assert!(Auth::encoded("dXNlcg==").is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let auth = Auth::basic("user", "hunter2").for_server("https://registry.test/v1/");
        assert_eq!(format!("{auth:?}"), "Auth(basic)");
        assert_eq!(auth.server.as_deref(), Some("registry.test"));
    }
}
