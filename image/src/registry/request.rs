//! One request to a registry: authorised, redirected by hand, its failure told in the crate's words.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Response, Url};
use serde::Deserialize;

use super::challenge;
use super::failure::Failure;
use super::hosts::Host;
use super::token::{Asker, GrantKey, Grants, credential_for, limited_body};
use crate::{Auth, Error, Place, Reference, Retry};

const MAX_REDIRECTS: usize = 10;
const MAX_ERROR_BODY: usize = 64 << 10;

/// What requests for one repository at one host have in common.
pub(super) struct Session<'a> {
    pub(super) client: reqwest::Client,
    pub(super) host: &'a Host,
    pub(super) reference: &'a Reference,
    pub(super) auth: Option<&'a Auth>,
    pub(super) grants: &'a Grants,
    pub(super) retry: &'a Retry,
    pub(super) place: Place,
}

/// The error body of the distribution specification.
#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Session<'_> {
    /// `manifests/latest` → the whole URL.
    fn url(&self, path: &str) -> Result<Url, Failure> {
        let mut url = self.host.base.join(&format!("{}/{path}", self.reference.path())).map_err(|error| {
            Error::Protocol { place: Box::new(self.place.clone()), reason: error.to_string() }
        })?;
        if let Some(namespace) = &self.host.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    /// Sends it, answering a challenge at most twice: for a token that ran out, and for the first.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Failure> {
        let url = self.url(path)?;
        let credential = credential_for(self.auth, self.reference, self.host);
        let key = GrantKey {
            host: self.host.base.origin().ascii_serialization(),
            scope: format!("repository:{}:pull", self.reference.path()),
            credential: credential.and(self.auth).map(Auth::fingerprint),
        };
        let mut authorization = self.grants.current(&key).await;
        let mut answers = 0;
        loop {
            let response = self.follow(&method, url.clone(), headers, authorization.as_ref()).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let own_answer = response.url().origin() == url.origin();
            if status != StatusCode::UNAUTHORIZED || !own_answer || answers == 2 {
                return Err(self.refused(response).await);
            }
            let challenges: Vec<_> = response
                .headers()
                .get_all(header::WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(challenge::parse)
                .collect();
            if challenges.is_empty() {
                return Err(self.refused(response).await);
            }
            drop(response);
            let asker = Asker {
                client: &self.client,
                credential,
                registry: &self.host.base,
                place: &self.place,
                retry: self.retry,
            };
            authorization =
                Some(self.grants.answer(&key, &challenges, authorization.as_ref(), &asker).await?);
            answers += 1;
        }
    }

    /// Credentials and configured headers go to the host they are for, and nowhere it redirects to.
    async fn follow(
        &self,
        method: &Method,
        first: Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let protocol = |reason: &str| {
            Failure::from(Error::Protocol { place: Box::new(self.place.clone()), reason: reason.to_owned() })
        };
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            if url.origin() == first.origin() {
                request = request.headers(self.host.headers.clone());
                if let Some(value) = authorization {
                    request = request.header(header::AUTHORIZATION, value);
                }
            }
            let idle = self.retry.idle_timeout;
            let response = match tokio::time::timeout(idle, request.send()).await {
                Ok(sent) => sent.map_err(|error| Failure::transport(&error, &self.place))?,
                Err(_) => return Err(Failure::stalled(&self.place, idle)),
            };
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            let next = next.ok_or_else(|| protocol("redirect without a target"))?;
            let is_safe = next.scheme() == "https" || (next.scheme() == "http" && url.scheme() == "http");
            if !is_safe {
                return Err(protocol("redirect from https to something else"));
            }
            url = next;
        }
        Err(protocol("too many redirects"))
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let headers = response.headers().clone();
        let reading = limited_body(response, MAX_ERROR_BODY, &self.place);
        let body = tokio::time::timeout(self.retry.idle_timeout, reading).await;
        let detail = match body {
            Ok(Ok(body)) => describe(&body),
            _ => String::new(),
        };
        Failure::status(status, &headers, &detail, &self.place)
    }
}

/// `DENIED: requested access is denied`, from the registry's own words.
fn describe(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<ErrorBody>(body) else { return String::new() };
    let texts: Vec<String> = body
        .errors
        .iter()
        .take(3)
        .map(|error| match (error.code.as_str(), error.message.as_str()) {
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{code}: {message}"),
        })
        .collect();
    let text: String = texts.join("; ").chars().filter(|c| !c.is_control()).take(300).collect();
    text
}
