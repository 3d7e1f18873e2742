//! A PostgreSQL server of a test's own that lets nobody in without TLS.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use super::{LIMIT, skip};

/// Who runs it where the tests run as root, which PostgreSQL refuses: `nobody`.
const NOBODY: u32 = 65_534;

/// A server with an empty database `postgres`, for whose user `postgres` it wants no password, but TLS. Gone when this is
/// dropped.
#[derive(Debug)]
pub struct Secured {
    home: TempDir,
    server: Child,
    port: u16,
}

impl Secured {
    /// Starts one with this certificate and its key, in PEM; none where PostgreSQL is not installed, which is said aloud.
    pub fn start(certificate: &str, key: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            return skip(
                "its programs `initdb` and `postgres` are neither in PATH nor where Debian has them",
            );
        };
        let home = tempfile::Builder::new().prefix("postgres-").tempdir().expect("a directory can be made");
        let user = home.path().metadata().expect("it is there").uid();
        let user = (user == 0).then_some(NOBODY);
        let own = |path: &Path| chown(path, user, user).expect("root may give a file away");
        own(home.path());
        let run = |program: &str| {
            let mut command = Command::new(programs.join(program));
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let made = run("initdb")
            .args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"])
            .output()
            .expect("initdb can be started");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        for (name, text) in
            [("cert.pem", certificate), ("key.pem", key), ("hba.conf", "hostssl all all all trust\n")]
        {
            let path = home.path().join(name);
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let file = file.as_mut().expect("a file can be made");
            std::io::Write::write_all(file, text.as_bytes()).expect("a file can be written");
            own(&path);
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
        let port = free.local_addr().expect("a bound socket has an address").port();
        drop(free);
        let path = |name: &str| home.path().join(name).display().to_string();
        let log = std::fs::File::create(home.path().join("log")).expect("a file can be made");
        let mut command = run("postgres");
        command.args(["-D", "data", "-p", &port.to_string(), "-k", &path("")]).stderr(log);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            "fsync=off".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", path("cert.pem")),
            format!("ssl_key_file={}", path("key.pem")),
            format!("hba_file={}", path("hba.conf")),
        ] {
            command.args(["-c", &setting]);
        }
        let server = command.spawn().expect("postgres can be started");
        let mut secured = Self { home, server, port };
        secured.becomes_ready();
        Some(secured)
    }

    fn becomes_ready(&mut self) {
        let end = Instant::now() + 3 * LIMIT;
        while !self.log().contains("ready to accept connections") {
            let ended = self.server.try_wait().expect("the state of a child can be asked");
            assert!(ended.is_none() && Instant::now() < end, "postgres does not start: {}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// How it is reached by the name `host`, with further parameters.
    pub fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://postgres@{host}:{}/postgres?{parameters}", self.port)
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        // "Immediate shutdown": its children end too. It may have ended already.
        let pid = i32::try_from(self.server.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.server.wait();
    }
}

/// Where its programs are: in `PATH`, else where Debian has those of each version, of which the latest is taken.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<_> = match std::fs::read_dir("/usr/lib/postgresql") {
        Ok(versions) => versions.flatten().map(|version| version.path().join("bin")).collect(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            Vec::new()
        }
    };
    debian.sort();
    let folders = std::env::split_paths(&path).chain(debian.into_iter().rev());
    folders.into_iter().find(|folder| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file()))
}
