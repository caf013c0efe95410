//! Tokens: what a registry's challenge is answered with, and kept until it expires
//! (distribution: docs/spec/auth/token.md, oauth.md).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};
use reqwest::{Response, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::failure::{Again, Failure};
use super::hosts::Host;
use crate::auth::{Auth, Credential};
use crate::{Digest, Error, Place, Reference, Retry};

/// What the specification says of a token that does not say when it expires.
const DEFAULT_LIFE: u64 = 60;
const MAX_ANSWER: usize = 1 << 20;
const CLIENT_ID: &str = "reeve";

/// For whom and for what a grant is: host, scope, credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GrantKey {
    pub(super) host: String,
    pub(super) scope: String,
    pub(super) credential: Option<Digest>,
}

#[derive(Clone)]
struct Grant {
    header: HeaderValue,
    expires: Option<Instant>,
    /// Some token services hand out a refresh token to use from then on.
    refresh: Option<String>,
}

/// All grants. Each has a lock of its own, so that ten layers ask for one token once.
#[derive(Default)]
pub(super) struct Grants(Mutex<HashMap<GrantKey, Arc<tokio::sync::Mutex<Option<Grant>>>>>);

/// Who asks, and how to reach the token service.
pub(super) struct Asker<'a> {
    pub(super) client: &'a reqwest::Client,
    pub(super) credential: Option<&'a Credential>,
    pub(super) registry: &'a Url,
    pub(super) place: &'a Place,
    pub(super) retry: &'a Retry,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
}

impl Grants {
    fn slot(&self, key: &GrantKey) -> Arc<tokio::sync::Mutex<Option<Grant>>> {
        let mut grants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Expired grants of long ago: nobody holds their slot.
        if grants.len() > 1000 {
            grants.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(grants.entry(key.clone()).or_default())
    }

    /// The header to send, as far as it is known.
    pub(super) async fn current(&self, key: &GrantKey) -> Option<HeaderValue> {
        let slot = self.slot(key);
        let grant = slot.lock().await;
        let grant = grant.as_ref().filter(|grant| grant.expires.is_none_or(|at| Instant::now() < at))?;
        Some(grant.header.clone())
    }

    /// Answers `challenges`, which came in spite of the header `refused`.
    pub(super) async fn answer(
        &self,
        key: &GrantKey,
        challenges: &[Challenge],
        refused: Option<&HeaderValue>,
        asker: &Asker<'_>,
    ) -> Result<HeaderValue, Failure> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        // While this one waited for the lock, another may have fetched a new token.
        if let Some(grant) = slot.as_ref()
            && Some(&grant.header) != refused
            && grant.expires.is_none_or(|at| Instant::now() < at)
        {
            return Ok(grant.header.clone());
        }
        let refresh = slot.take().and_then(|grant| grant.refresh);
        let find = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let grant = if let Some(bearer) = find("bearer") {
            asker.bearer(bearer, &key.scope, refresh, refused).await?
        } else if find("basic").is_some() {
            asker.basic(refused)?
        } else {
            let schemes: Vec<&str> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
            return Err(asker
                .denied(format!("no way to authenticate is known: {:?}", schemes.join(", ")))
                .into());
        };
        let header = grant.header.clone();
        *slot = Some(grant);
        Ok(header)
    }
}

impl Asker<'_> {
    fn denied(&self, detail: String) -> Error {
        Error::Unauthorized { place: Box::new(self.place.clone()), detail }
    }

    fn basic(&self, refused: Option<&HeaderValue>) -> Result<Grant, Failure> {
        let Some(Credential::Basic { username, password }) = self.credential else {
            return Err(self.denied("the registry wants a user name and password".to_owned()).into());
        };
        let header = basic_header(username, password)
            .ok_or_else(|| self.denied("user name or password cannot be sent".to_owned()))?;
        if Some(&header) == refused {
            return Err(self.denied("wrong user name or password".to_owned()).into());
        }
        Ok(Grant { header, expires: None, refresh: None })
    }

    async fn bearer(
        &self,
        challenge: &Challenge,
        scope: &str,
        refresh: Option<String>,
        refused: Option<&HeaderValue>,
    ) -> Result<Grant, Failure> {
        if let Some(Credential::Registry(token)) = self.credential {
            let header =
                bearer_header(token).ok_or_else(|| self.denied("the token cannot be sent".to_owned()))?;
            if Some(&header) == refused {
                return Err(self.denied("the registry token is refused".to_owned()).into());
            }
            return Ok(Grant { header, expires: None, refresh: None });
        }
        let realm = self.realm(challenge)?;
        let service = challenge.get("service").unwrap_or_default();
        let scope = challenge.get("scope").filter(|scope| !scope.is_empty()).unwrap_or(scope);
        let identity = match (self.credential, refresh) {
            (Some(Credential::Identity(token)), _) => Some(token.clone()),
            (_, refresh) => refresh,
        };
        let request = match &identity {
            Some(token) => self.refresh_request(realm, service, scope, token),
            None => self.get_request(realm, service, scope),
        };
        let asked = Instant::now();
        let answer = self.fetch(request).await?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        let header = token
            .as_deref()
            .and_then(bearer_header)
            .ok_or_else(|| self.denied("the token service answers without a token".to_owned()))?;
        let life = answer.expires_in.filter(|life| *life > 0).unwrap_or(DEFAULT_LIFE).min(24 * 3600);
        // A tenth less: the token must still be good when the request arrives.
        let expires = asked + Duration::from_millis(life * 900);
        Ok(Grant { header, expires: Some(expires), refresh: answer.refresh_token.filter(|t| !t.is_empty()) })
    }

    /// Where to ask. A registry reached by https may not have credentials sent in the clear.
    fn realm(&self, challenge: &Challenge) -> Result<Url, Failure> {
        let realm = challenge.get("realm").unwrap_or_default();
        let url: Url = match realm.parse() {
            Ok(url) => url,
            Err(_) => return Err(self.denied("the registry names no token service".to_owned()).into()),
        };
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && self.registry.scheme() == "http");
        if !is_safe {
            return Err(self.denied("the registry names a token service without https".to_owned()).into());
        }
        Ok(url)
    }

    fn get_request(&self, mut realm: Url, service: &str, scope: &str) -> reqwest::RequestBuilder {
        {
            let mut query = realm.query_pairs_mut();
            if !service.is_empty() {
                query.append_pair("service", service);
            }
            // A challenge may list several scopes; each is a parameter of its own.
            for scope in scope.split(' ').filter(|scope| !scope.is_empty()) {
                query.append_pair("scope", scope);
            }
            query.append_pair("client_id", CLIENT_ID);
        }
        let request = self.client.get(realm);
        match self.credential {
            Some(Credential::Basic { username, password }) => match basic_header(username, password) {
                Some(header) => request.header(header::AUTHORIZATION, header),
                None => request,
            },
            _ => request,
        }
    }

    fn refresh_request(
        &self,
        realm: Url,
        service: &str,
        scope: &str,
        token: &str,
    ) -> reqwest::RequestBuilder {
        let form: String = reqwest::Url::parse_with_params(
            "http://form.invalid/",
            [
                ("grant_type", "refresh_token"),
                ("service", service),
                ("client_id", CLIENT_ID),
                ("scope", scope),
                ("refresh_token", token),
            ],
        )
        .ok()
        .and_then(|url| url.query().map(str::to_owned))
        .unwrap_or_default();
        self.client.post(realm).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
    }

    async fn fetch(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let idle = self.retry.idle_timeout;
        let exchange = async {
            let response = request.send().await.map_err(|error| Failure::transport(&error, self.place))?;
            let status = response.status();
            let headers = response.headers().clone();
            let body = limited_body(response, MAX_ANSWER, self.place).await?;
            if !status.is_success() {
                let mut failure = Failure::status(status, &headers, "", self.place);
                if failure.again == Again::No {
                    failure.error = self.denied(format!("the token service answers {status}"));
                }
                return Err(failure);
            }
            serde_json::from_slice(&body)
                .map_err(|_| self.denied("the token service's answer is no token".to_owned()).into())
        };
        tokio::time::timeout(idle, exchange).await.unwrap_or_else(|_| Err(Failure::stalled(self.place, idle)))
    }
}

/// A body that must be small.
pub(super) async fn limited_body(
    mut response: Response,
    limit: usize,
    place: &Place,
) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::transport(&error, place))? {
        if body.len() + chunk.len() > limit {
            return Err(Error::TooLong { place: Box::new(place.clone()), expected: limit as u64 }.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn basic_header(username: &str, password: &str) -> Option<HeaderValue> {
    sensitive(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

fn bearer_header(token: &str) -> Option<HeaderValue> {
    sensitive(format!("Bearer {token}"))
}

/// Marked, so that no debug output shows it.
fn sensitive(value: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Credentials as far as `host` may see them. Those that name a server are for that registry, wherever its
/// content is really served from, or for the host itself.
pub(super) fn credential_for<'a>(
    auth: Option<&'a Auth>,
    reference: &Reference,
    host: &Host,
) -> Option<&'a Credential> {
    let auth = auth?;
    let for_registry = match auth.server.as_deref() {
        None => true,
        Some("index.docker.io" | "registry-1.docker.io") => reference.domain() == "docker.io",
        Some(server) => server == reference.domain(),
    };
    let for_host = auth.server.as_deref() == Some(host.name().as_str());
    (for_host || (for_registry && host.is_upstream)).then_some(&auth.credential)
}
