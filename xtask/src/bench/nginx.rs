//! nginx as a plain reverse proxy: the floor, what one full HTTP hop costs when nothing is decided or written down.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::case::Subject;
use super::child::{self, Process};
use super::measure::Proxy;

/// Starts it in `folder`, in front of `upstream`.
pub(crate) async fn start(folder: &Path, core: usize, upstream: SocketAddr) -> Result<Proxy> {
    let program = super::find_program("nginx", "install it, on Debian by `apt-get install nginx-light`")?;
    std::fs::create_dir_all(folder)?;
    let log = folder.join("error.log");
    // nginx cannot be asked for a free port, so one is looked for; another program may take it first.
    for _ in 0..3 {
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let config = folder.join("nginx.conf");
        std::fs::write(&config, configuration(address, upstream)).context("nginx.conf cannot be written")?;
        let mut command = child::command(&program, Some(core))?;
        command.arg("-p").arg(folder).arg("-c").arg(&config).arg("-e").arg(&log);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut process = Process::spawn(command)?;
        if accepts(&mut process, address).await? {
            let key = "none".to_owned();
            return Ok(Proxy {
                subject: Subject::Nginx,
                process,
                address,
                key,
                pair: None,
                admin_key: String::new(),
                log,
            });
        }
    }
    bail!("nginx does not start:\n{}", child::log_tail(&log))
}

async fn accepts(process: &mut Process, address: SocketAddr) -> Result<bool> {
    let start = Instant::now();
    while process.ended()?.is_none() && start.elapsed() < Duration::from_secs(5) {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(false)
}

/// One process, everything in memory, connections kept, frames forwarded as they come.
fn configuration(address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path client_body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_body_buffer_size 2m;
  client_max_body_size 16m;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  upstream model {{
    server {upstream};
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}
  server {{
    listen {address} backlog=4096;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
    }}
  }}
}}
"
    )
}
