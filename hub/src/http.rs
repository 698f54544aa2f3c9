//! Requests to the hub: the token for the hub alone, a limit on silence, further tries where they may help.

use super::HubError;
use serde_json::Value;
use std::time::Duration;
use ureq::{
    Agent, Body, RequestBuilder,
    config::RedirectAuthHeaders,
    http::{HeaderMap, Response},
};

/// Tries without any progress before giving up.
pub(super) const TRIES: u32 = 3;

/// How one try failed.
pub(super) enum Failure {
    /// Another try may help.
    Again(String),
    /// None will.
    Never(HubError),
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Never(error)
    }
}

/// A client of one hub.
#[derive(Clone)]
pub(super) struct Client {
    /// Follows redirects.
    agent: Agent,
    /// Does not: the hub tells of a file in its redirect to it.
    direct: Agent,
    pub endpoint: String,
    pub token: Option<String>,
    stall: Duration,
    pause: Duration,
}

impl Client {
    /// A silence of `stall` ends a try; after `pause`, twice that, … comes the next.
    pub fn new(endpoint: &str, token: Option<String>, stall: Duration, pause: Duration) -> Self {
        let config = || {
            let config = Agent::config_builder()
                .user_agent(concat!("atypical/", env!("CARGO_PKG_VERSION")))
                .http_status_as_error(false)
                .accept_encoding("identity")
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .timeout_connect(Some(stall))
                .timeout_recv_response(Some(stall))
                .timeout_per_read(Some(stall))
                .timeout_per_write(Some(stall));
            // What listens on this machine is out of a proxy's reach.
            if endpoint.starts_with("http://127.0.0.1:") { config.proxy(None) } else { config }
        };
        let agent = config().build().into();
        let direct = config().max_redirects(0).build().into();
        Self { agent, direct, endpoint: endpoint.to_owned(), token, stall, pause }
    }

    /// The same client, more patient: a hub takes its time over what it is sent.
    pub fn patient(&self) -> Self {
        Self::new(&self.endpoint, self.token.clone(), self.stall * 4, self.pause)
    }

    /// Try until it works, no try can help, or `TRIES` are over.
    pub fn retry<T>(
        &self,
        url: &str,
        mut one: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, HubError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match one() {
                Ok(value) => return Ok(value),
                Err(Failure::Never(error)) => return Err(error),
                Err(Failure::Again(problem)) if tries == TRIES => {
                    return Err(HubError::Unreachable { url: url.to_owned(), problem, tries });
                }
                Err(Failure::Again(_)) => self.wait(tries),
            }
        }
    }

    /// The pause after so many tries.
    pub fn wait(&self, tries: u32) {
        std::thread::sleep(self.pause * 2u32.pow(tries.saturating_sub(1)));
    }

    /// The token goes to the hub, never to the storage that it points to.
    fn authorised<B>(&self, request: RequestBuilder<B>, url: &str) -> RequestBuilder<B> {
        let ours = url.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/'));
        match &self.token {
            Some(token) if ours => request.header("Authorization", format!("Bearer {token}")),
            _ => request,
        }
    }

    /// Ask of a file, without following a redirect.
    pub fn head(&self, url: &str) -> Result<Response<Body>, Failure> {
        self.authorised(self.direct.head(url), url).call().map_err(|e| self.failure(e))
    }

    /// Ask for a file, from a byte on.
    pub fn get_from(&self, url: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut request = self.authorised(self.agent.get(url), url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        request.call().map_err(|e| self.failure(e))
    }

    /// Ask for an object of JSON.
    pub fn json(&self, url: &str, page: &str) -> Result<Value, HubError> {
        self.retry(url, || {
            let response = self.get_from(url, 0)?;
            self.read(self.check(response, url, page)?, url)
        })
    }

    /// Send something, and read the object of JSON that comes back.
    pub fn post(&self, url: &str, page: &str, kind: &str, body: &[u8]) -> Result<Value, Failure> {
        let request = self
            .authorised(self.agent.post(url), url)
            .header("Content-Type", kind)
            .header("Accept", kind);
        let response = request.send(body).map_err(|e| self.failure(e))?;
        self.read(self.check(response, url, page)?, url)
    }

    /// Send bytes to where the hub said that they go; the headers of the answer.
    pub fn put(
        &self,
        url: &str,
        page: &str,
        length: u64,
        body: ureq::SendBody,
    ) -> Result<HeaderMap, Failure> {
        let request =
            self.authorised(self.agent.put(url), url).header("Content-Length", length.to_string());
        let response = request.send(body).map_err(|e| self.failure(e))?;
        Ok(self.check(response, url, page)?.into_parts().0.headers)
    }

    /// Nothing counts as an empty object.
    fn read(&self, mut response: Response<Body>, url: &str) -> Result<Value, Failure> {
        let text = response.body_mut().read_to_string().map_err(|e| self.failure(e))?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|e| {
            HubError::Answer {
                url: url.to_owned(),
                problem: format!("its JSON cannot be read ({e})"),
            }
            .into()
        })
    }

    /// What a failed request means.
    pub fn failure(&self, error: ureq::Error) -> Failure {
        Failure::Again(match error {
            ureq::Error::Timeout(_) => format!("nothing came for {} s", self.stall.as_secs_f64()),
            other => other.to_string(),
        })
    }

    /// An answer that is a success, or a redirect where none is followed. `page` is where people see what was asked for.
    pub fn check(
        &self,
        mut response: Response<Body>,
        url: &str,
        page: &str,
    ) -> Result<Response<Body>, Failure> {
        let status = response.status().as_u16();
        if status < 400 {
            return Ok(response);
        }
        let header = |name: &str| {
            response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
        };
        let code = header("X-Error-Code").unwrap_or_default();
        let said = header("X-Error-Message").or_else(|| {
            let text = response.body_mut().read_to_string().ok()?;
            Some(serde_json::from_str::<Value>(&text).ok()?.get("error")?.as_str()?.to_owned())
        });
        let said = said.map_or(String::new(), |said| {
            format!(": {}", said.chars().take(300).collect::<String>())
        });
        let url = url.to_owned();
        Err(match status {
            408 | 429 | 500.. => Failure::Again(format!("the server answered {status}{said}")),
            401 | 403 => {
                let advice = match (&self.token, code.as_str()) {
                    (None, _) => format!(
                        "set HF_TOKEN or log in with `hf auth login` if it is private, \
                         and accept its terms at {page} if it has some; or there is no such repository"
                    ),
                    (Some(_), "GatedRepo") => format!(
                        "accept its terms at {page}, with the account that the token belongs to"
                    ),
                    (Some(_), _) => format!(
                        "see at {page} whether the account and the token (HF_TOKEN, or that of `hf auth login`) may do this, \
                         and accept its terms if it has some"
                    ),
                };
                HubError::Denied { url, status, said, advice }.into()
            }
            404 => {
                let problem = match code.as_str() {
                    "RepoNotFound" => {
                        "there is no such repository; check its name (a private one needs HF_TOKEN)"
                            .into()
                    }
                    "RevisionNotFound" => format!(
                        "the repository has no such revision; those it has are at {page}/commits/main"
                    ),
                    "EntryNotFound" => format!(
                        "the repository has no such file at that revision; see {page}/tree/main"
                    ),
                    _ => format!("check the names of repository, revision and file at {page}"),
                };
                HubError::NotFound { url, problem }.into()
            }
            _ => HubError::Refused { url, status, said }.into(),
        })
    }
}
