//! MLflow's REST interface, version 2.0.

use crate::TrackError;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::time::Duration;
use ureq::{Agent, AsSendBody, Body, RequestBuilder, http::Response};

/// The longest wait for a connection and for an answer. A training does not wait for either.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a file may take on its way up.
const UPLOAD: Duration = Duration::from_secs(600);

/// A server, and what it wants to be shown.
#[derive(Debug)]
pub struct Server {
    agent: Agent,
    uri: String,
    authorization: Option<String>,
}

impl Server {
    /// `variable` looks up a variable of the environment.
    pub fn new(uri: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, TrackError> {
        let key = "MLFLOW_TRACKING_URI";
        let wrong = |value: &str, problem: &str| {
            let (value, problem) = (value.to_owned(), problem.to_owned());
            Err(TrackError::Setting { key, value, problem })
        };
        let uri = uri.trim().trim_end_matches('/');
        let rest = uri.strip_prefix("http://").or(uri.strip_prefix("https://"));
        match rest {
            Some(host) if host.split('/').next().is_some_and(|host| host.contains('@')) => {
                let problem = "write the user and the password into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead";
                return wrong("(hidden)", problem);
            }
            Some(host) if !host.is_empty() && !host.starts_with(['/', ':']) => {}
            _ => return wrong(uri, "write the server's address, such as http://localhost:5000"),
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_recv_body(Some(TIMEOUT))
            .timeout_send_body(Some(UPLOAD))
            .build()
            .new_agent();
        Ok(Self { agent, uri: uri.to_owned(), authorization: authorization(variable)? })
    }

    /// Ask for something.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, TrackError> {
        let url = self.url("mlflow", path);
        let request = self.agent.get(&url).query_pairs(query.iter().copied());
        json(&url, &answer(&url, self.shown(request).call())?)
    }

    /// Say something.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, TrackError> {
        let url = self.url("mlflow", path);
        let request = self.agent.post(&url).content_type("application/json");
        json(&url, &answer(&url, self.shown(request).send(body.to_string()))?)
    }

    /// Put a file among those that the server keeps.
    pub fn put(&self, parts: &[&str], body: impl AsSendBody) -> Result<(), TrackError> {
        let path = Vec::from_iter(parts.iter().map(|part| encoded(part))).join("/");
        let url = self.url("mlflow-artifacts/artifacts", &path);
        let request = self.agent.put(&url).content_type("application/octet-stream");
        answer(&url, self.shown(request).send(body)).map(drop)
    }

    fn shown<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        }
    }

    fn url(&self, service: &str, path: &str) -> String {
        format!("{}/api/2.0/{service}/{path}", self.uri)
    }
}

/// The header that shows who asks; as MLflow's own client does, by user and password before the token.
fn authorization(variable: impl Fn(&str) -> Option<String>) -> Result<Option<String>, TrackError> {
    let read = |key: &'static str| {
        let value = variable(key).map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
        match value {
            Some(value) if value.chars().any(char::is_control) => Err(TrackError::Setting {
                key,
                value: "(hidden)".into(),
                problem: "it has a line break or another control character".into(),
            }),
            value => Ok(value),
        }
    };
    let user = read("MLFLOW_TRACKING_USERNAME")?;
    let password = read("MLFLOW_TRACKING_PASSWORD")?;
    if let (Some(user), Some(password)) = (user, password) {
        return Ok(Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))));
    }
    Ok(read("MLFLOW_TRACKING_TOKEN")?.map(|token| format!("Bearer {token}")))
}

fn encoded(part: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    part.bytes().map(byte).collect()
}

/// The body of an answer that says yes.
fn answer(url: &str, response: Result<Response<Body>, ureq::Error>) -> Result<String, TrackError> {
    let unreachable =
        |source| TrackError::Unreachable { url: url.to_owned(), source: Box::new(source) };
    let mut response = response.map_err(unreachable)?;
    let text = response.body_mut().read_to_string().map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(text);
    }
    let json = serde_json::from_str::<Value>(&text).unwrap_or_default();
    let message = json["message"].as_str().unwrap_or(&text).chars().take(500).collect();
    Err(TrackError::Answer { url: url.to_owned(), status: status.as_u16(), message })
}

fn json(url: &str, text: &str) -> Result<Value, TrackError> {
    let error = |error: serde_json::Error| TrackError::Protocol {
        url: url.to_owned(),
        problem: error.to_string(),
    };
    serde_json::from_str(text).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
    };

    fn header(variables: &[(&str, &str)]) -> Result<Option<String>, TrackError> {
        let find = |key: &str| variables.iter().find(|(k, _)| *k == key);
        authorization(|key| find(key).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn credentials_are_those_of_mlflow() {
        let token = ("MLFLOW_TRACKING_TOKEN", "t\n");
        let user = ("MLFLOW_TRACKING_USERNAME", "Aladdin");
        let password = ("MLFLOW_TRACKING_PASSWORD", "open sesame");
        assert_eq!(header(&[]).unwrap(), None);
        assert_eq!(header(&[token, user]).unwrap().unwrap(), "Bearer t");
        // The example of RFC 2617.
        let basic = header(&[token, user, password]).unwrap().unwrap();
        assert_eq!(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let error = header(&[("MLFLOW_TRACKING_TOKEN", "zq\nzq")]).unwrap_err().to_string();
        assert!(error.contains("MLFLOW_TRACKING_TOKEN") && !error.contains("zq"), "{error}");
    }

    #[test]
    fn addresses_are_checked() {
        let new = |uri| Server::new(uri, |_| None).map(|server| server.uri);
        assert_eq!(new(" https://host:5000/mlflow/ ").unwrap(), "https://host:5000/mlflow");
        for wrong in ["localhost:5000", "", "file:///mlruns", "http://", "http://:5000"] {
            let message = new(wrong).unwrap_err().to_string();
            assert!(message.contains("http://localhost:5000"), "{message}");
        }
        let message = new("http://me:secret@host").unwrap_err().to_string();
        assert!(message.contains("PASSWORD") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn parts_of_a_path_are_encoded() {
        assert_eq!(encoded("a b%ü/~"), "a%20b%25%C3%BC%2F~");
    }

    #[test]
    fn credentials_are_shown_and_a_refusal_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let answer =
                b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 21\r\n\r\n{\"message\":\"expired\"}";
            stream.write_all(answer).unwrap();
            head.join("\n").to_lowercase()
        });
        let token = |key: &str| (key == "MLFLOW_TRACKING_TOKEN").then(|| "t".to_owned());
        let error = Server::new(&uri, token).unwrap().get("runs/get", &[("a", "b c")]).unwrap_err();
        let message = format!("{uri}/api/2.0/mlflow/runs/get answers 401: expired");
        assert_eq!(error.to_string(), message);
        assert!(!error.is_final(), "the event may be taken with other credentials");
        let head = asked.join().unwrap();
        assert!(head.starts_with("get /api/2.0/mlflow/runs/get?a=b%20c http/1.1\n"), "{head}");
        assert!(head.contains("\nauthorization: bearer t"), "{head}");
    }
}
