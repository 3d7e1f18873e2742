//! `steelyard keys`: secrets with which applications call models. A secret is shown once, when it is made.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use steelyard_core::{Clock, Timestamp};

use super::output::{Output, Table, cell, print, print_json, remark, rows, time};
use super::server::ServerArgs;
use crate::client::segment;

const AFTER: &str = "\
Examples:
  steelyard keys create my-app
  export STEELYARD_API_KEY=\"$(steelyard keys create laptop --quiet)\"
  steelyard keys create night-job --project batch --expires-at 2027-01-01
  steelyard keys create boto --aws               also a pair for AWS's SDKs
  steelyard keys rotate my-app --grace 1h        the old secret works for an hour more
  steelyard keys revoke my-app                   the next call with it is refused";

/// What `keys` takes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct KeysArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key; its secret is shown this once
    Create {
        /// Its name, unique in its project
        name: String,
        /// The project it belongs to [default: default]
        #[arg(long)]
        project: Option<String>,
        /// When it stops working: 2027-01-01 (midnight UTC) or 2027-01-01T10:00:00Z
        #[arg(long, value_name = "TIME", value_parser = a_time)]
        expires_at: Option<String>,
        /// Make a pair too with which AWS's SDKs and tools sign
        #[arg(long)]
        aws: bool,
        /// Print the secret alone
        #[arg(long, short)]
        quiet: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List keys, without their secrets
    List {
        /// Only those of this project
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show a key, without its secret
    Show(Which),
    /// Give a key another name or another end
    Update {
        /// The new name
        #[arg(long, required_unless_present = "expires_at")]
        name: Option<String>,
        /// When it stops working: a time, or `never`
        #[arg(long, value_name = "TIME", value_parser = a_time_or_never)]
        expires_at: Option<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Give a key a new secret, and a new pair for AWS's SDKs if it has one, shown this once
    Rotate {
        /// How long the old secret works beside the new one: 500ms, 10s, 2m, 1h [default: not at all]
        #[arg(long, value_name = "SPAN")]
        grace: Option<String>,
        /// Print the secret alone
        #[arg(long, short)]
        quiet: bool,
        #[command(flatten)]
        which: Which,
    },
    /// End a key for good: the next call with it is refused
    Revoke(Which),
}

/// Which key.
#[derive(Debug, Args)]
struct Which {
    /// Its id or its name
    #[arg(value_name = "KEY")]
    key: String,
    /// The project of a key that is given by name [default: default]
    #[arg(long)]
    project: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

impl Which {
    fn path(&self) -> String {
        format!("/keys/{}", segment(&self.key))
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        self.project.iter().map(|project| ("project", project.clone())).collect()
    }
}

pub(super) fn a_time(text: &str) -> Result<String, String> {
    Timestamp::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn a_time_or_never(text: &str) -> Result<String, String> {
    if text == "never" { Ok(text.to_owned()) } else { a_time(text) }
}

/// Does what is asked with keys.
pub(super) async fn run(args: KeysArgs, output: Output) -> anyhow::Result<()> {
    match args.verb {
        Verb::Create { name, project, expires_at, aws, quiet, server } => {
            let mut body = json!({ "name": name });
            if aws {
                body["aws"] = true.into();
            }
            for (field, value) in [("project", project), ("expires_at", expires_at)] {
                if let Some(value) = value {
                    body[field] = value.into();
                }
            }
            let made = server.management()?.send(Method::POST, "/keys", &[], &body).await?;
            show_secret(&made, "made", quiet, output)
        }
        Verb::List { project, server } => {
            let query: Vec<_> = project.map(|project| ("project", project)).into_iter().collect();
            let answer = server.management()?.get("/keys", &query).await?;
            list(&answer, output)
        }
        Verb::Show(which) => {
            let key = which.server.management()?.get(&which.path(), &which.query()).await?;
            show(&key, output)
        }
        Verb::Update { name, expires_at, which } => {
            let mut body = json!({});
            if let Some(name) = name {
                body["name"] = name.into();
            }
            match expires_at.as_deref() {
                None => {}
                Some("never") => body["expires_at"] = Value::Null,
                Some(time) => body["expires_at"] = time.into(),
            }
            let key =
                which.server.management()?.send(Method::PATCH, &which.path(), &which.query(), &body).await?;
            show(&key, output)
        }
        Verb::Rotate { grace, quiet, which } => {
            let body = grace.map_or_else(|| json!({}), |grace| json!({ "grace": grace }));
            let path = format!("{}/rotate", which.path());
            let key = which.server.management()?.send(Method::POST, &path, &which.query(), &body).await?;
            show_secret(&key, "rotated", quiet, output)
        }
        Verb::Revoke(which) => {
            which.server.management()?.delete(&which.path(), &which.query()).await?;
            if output == Output::Json {
                return print_json(&json!({ "revoked": which.key }));
            }
            print(format_args!("key `{}` revoked", which.key))
        }
    }
}

/// The secret goes to stdout, everything that explains it to stderr: a script gets what it needs either way.
fn show_secret(key: &Value, verb: &str, quiet: bool, output: Output) -> anyhow::Result<()> {
    if quiet {
        return print(cell(&key["secret"]));
    }
    if output == Output::Json {
        return print_json(key);
    }
    print(format_args!(
        "key `{}` of project `{}` {verb}\n\n  {}\n",
        cell(&key["name"]),
        cell(&key["project"]),
        cell(&key["secret"])
    ))?;
    if key["aws_secret_access_key"].is_string() {
        print(format_args!(
            "For AWS's SDKs and tools, in the shell that starts them:\n\n  export AWS_ACCESS_KEY_ID={}\n  export AWS_SECRET_ACCESS_KEY={}\n",
            cell(&key["aws_access_key_id"]),
            cell(&key["aws_secret_access_key"])
        ))?;
    }
    remark(
        "The secret is shown this once. Clients send it as their OpenAI API key, or set STEELYARD_API_KEY.",
    );
    Ok(())
}

fn list(answer: &Value, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return print_json(answer);
    }
    let keys = rows(answer);
    if keys.is_empty() {
        return print("there are no keys yet: make one with `steelyard keys create NAME`");
    }
    let mut table = Table::new(["KEY", "PROJECT", "SECRET", "STATE", "CREATED (UTC)", "EXPIRES (UTC)", "ID"]);
    for key in keys {
        table.row(line(key));
    }
    print(&table)
}

fn show(key: &Value, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(key),
        Output::Table => list(&json!({ "data": [key] }), output),
    }
}

fn line(key: &Value) -> [String; 7] {
    [
        cell(&key["name"]),
        cell(&key["project"]),
        format!("…{}", cell(&key["hint"])),
        state(key, Clock::System.now()).to_owned(),
        time(&key["created_at"]),
        time(&key["expires_at"]),
        cell(&key["id"]),
    ]
}

fn state(key: &Value, now: Timestamp) -> &'static str {
    let passed = |field: &str| {
        key[field].as_str().and_then(|text| Timestamp::parse(text).ok()).is_some_and(|at| at <= now)
    };
    if passed("revoked_at") {
        "revoked"
    } else if passed("expires_at") {
        "expired"
    } else {
        "active"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_key() {
        let now = Timestamp::parse("2026-11-21").unwrap();
        assert_eq!(state(&json!({}), now), "active");
        assert_eq!(state(&json!({ "expires_at": "2026-11-20T00:00:00Z" }), now), "expired");
        assert_eq!(
            state(&json!({ "expires_at": "2026-11-22T00:00:00Z", "revoked_at": null }), now),
            "active"
        );
        assert_eq!(
            state(&json!({ "expires_at": null, "revoked_at": "2026-11-01T00:00:00Z" }), now),
            "revoked"
        );
    }
}
