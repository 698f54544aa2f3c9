//! A PostgreSQL server: row locks, and patience while it is away.

use super::{
    StoreError,
    database::{Connection, Fault, Kind, Transaction},
    session::Session,
};
use postgres::{
    Config, NoTls,
    config::{Host, SslMode},
    error::SqlState,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use std::{
    error::Error,
    io::ErrorKind,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The first pause before an operation is tried again; it doubles up to the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

pub(super) struct Postgres {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    session: Option<Session>,
    server: String,
    patience: Duration,
}

impl Postgres {
    /// The connection is made by the first transaction.
    pub fn new(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let mut config: Config = url.parse().map_err(|error| {
            let hint = match url.contains("sslmode=verify") || url.contains("sslrootcert") {
                true => " (`sslmode=require` verifies the certificate; SSL_CERT_FILE names the file of those to trust)",
                false => "",
            };
            StoreError::Url(format!("{}{hint}", with_causes(&error)))
        })?;
        // A machine that vanished does not close its connections.
        config.tcp_user_timeout(patience).keepalives_idle(patience);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(patience);
        }
        let server = name(&config);
        let tls = match config.get_ssl_mode() {
            SslMode::Require => Some(
                tls().map_err(|problem| StoreError::Database { store: server.clone(), problem })?,
            ),
            _ => None,
        };
        Ok(Self { config, tls, session: None, server, patience })
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    pub fn transaction<T>(
        &mut self,
        kind: Kind,
        mut work: impl FnMut(&mut Transaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let [mut pause, longest] = PAUSES;
        loop {
            let problem = match self.attempt(kind, &mut work) {
                Ok(result) => return Ok(result),
                Err(Fault::Postgres(error)) if passes(&error) => with_causes(&error),
                Err(fault) => return Err(self.explained(fault)),
            };
            if start.elapsed() + pause > self.patience {
                let seconds = self.patience.as_secs();
                return Err(StoreError::Unreachable {
                    server: self.server.clone(),
                    seconds,
                    problem,
                });
            }
            // Not all agents at the same time.
            thread::sleep(pause.mul_f64(rand::random_range(0.5..1.0)));
            pause = longest.min(2 * pause);
        }
    }

    fn attempt<T>(
        &mut self,
        kind: Kind,
        work: &mut impl FnMut(&mut Transaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // Put back only when all is well: a connection that is dropped rolls back.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::new(match self.tls.clone() {
                Some(tls) => self.config.connect(tls)?,
                None => self.config.connect(NoTls)?,
            }),
        };
        let now = session.begin(kind)?;
        let done = work(&mut Transaction { connection: Connection::Postgres(&mut session), now });
        session.script(match &done {
            Ok(_) => "COMMIT",
            Err(Fault::Postgres(_)) => return done,
            Err(_) => "ROLLBACK",
        })?;
        self.session = Some(session);
        done
    }

    fn explained(&self, fault: Fault) -> StoreError {
        let problem = match fault {
            Fault::Refused(error) => return error,
            Fault::Postgres(error) if error.code() == Some(&SqlState::DISK_FULL) => {
                return StoreError::Full(self.server.clone());
            }
            Fault::Postgres(error) => match with_causes(&error) {
                text if text.contains("invalid peer certificate") => {
                    format!("{text}; set SSL_CERT_FILE to a file with the certificates to trust")
                }
                text => text,
            },
            Fault::Sqlite(error) => error.to_string(),
        };
        StoreError::Database { store: format!("the PostgreSQL server {}", self.server), problem }
    }
}

/// What checks a server's certificate by those that are trusted here.
fn tls() -> Result<MakeRustlsConnect, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let problems: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!(
            "no certificates to trust were found, which `sslmode=require` needs ({}); set SSL_CERT_FILE to a file of them",
            problems.join("; ")
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Host, port and database; never the password.
fn name(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().unwrap_or(&5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{host}:{port}/{database}")
}

/// Whether the same may work a little later: the server is away or begins, or two transactions were in each other's way.
fn passes(error: &postgres::Error) -> bool {
    if let Some(code) = error.code() {
        return code.code().starts_with("08")
            || [
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::TOO_MANY_CONNECTIONS,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
            ]
            .contains(code);
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.is_closed()
        || cause.is_some_and(|cause| {
            use ErrorKind::*;
            // NotFound: the socket of a server on this machine.
            [
                ConnectionRefused,
                ConnectionReset,
                ConnectionAborted,
                BrokenPipe,
                UnexpectedEof,
                TimedOut,
                NotFound,
                HostUnreachable,
                NetworkUnreachable,
            ]
            .contains(&cause.kind())
        })
}

/// An error and what caused it: the outer one alone says only "db error".
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
