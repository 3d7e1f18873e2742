//! The ledger on a PostgreSQL that is reached over TLS.

use steelyard_testkit::postgres::Secured;
use steelyard_testkit::{Config, Steelyard, Store, Upstream};

use crate::app::{BINARY, ask, charged, cli};

#[tokio::test]
async fn a_database_over_tls_is_the_one_its_certificate_says_or_none() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let Some(database) = Secured::start(&cert.pem(), &signing_key.serialize_pem()) else { return };
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: String| {
        let path = home.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let own = file("own.pem", cert.pem());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = file("other.pem", other.cert.pem());

    let up = Upstream::start().await;
    let url = database.url("localhost", &format!("sslmode=verify-full&sslrootcert={own}"));
    let config = Config::simple(&up);
    let environment = [("STEELYARD_STORE_URL", url.as_str())];
    let server = Steelyard::start_on(Store::Sqlite, BINARY, &config, &environment).await.unwrap();
    let answer = server.admin().chat(&ask("smart")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    charged(&server.entry(answer.request_id()).await, 10, 5);

    // Of somebody else, by another name, and without TLS, which the server does not take.
    for (host, parameters, said) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), "certificate"),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={own}"), "certificate"),
        ("localhost", "sslmode=disable".to_owned(), "no encryption"),
    ] {
        let url = database.url(host, &parameters);
        let data = home.path().join("data").display().to_string();
        let run = cli().env("STEELYARD_STORE_URL", &url);
        let run = run.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data]).await;
        let text = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(run.code, 1, "{host} {parameters}: {text}");
        assert!(text.contains(said), "`{said}` for {host} {parameters}: {text}");
    }
}
