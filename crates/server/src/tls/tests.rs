use super::*;
use std::sync::atomic::{AtomicI64, Ordering};
use steelyard_core::Clock;
use steelyard_store::DataDir;

const DAY: i64 = 24 * 3600 * 1_000_000;

struct Own {
    dir: DataDir,
    now: Arc<AtomicI64>,
    _temporary: tempfile::TempDir,
}

impl Own {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temporary.path()).unwrap();
        let now = Arc::new(AtomicI64::new(1_795_000_000_000_000));
        Self { dir, now, _temporary: temporary }
    }

    fn source(&self, names: &[&str]) -> Source {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Source::SelfSigned(SelfSigned::new(self.dir.clone(), &names, Clock::Fixed(Arc::clone(&self.now))))
    }

    /// The certificate in the directory once a server has started.
    fn after_a_start(&self, names: &[&str]) -> Vec<u8> {
        Certificates::open(self.source(names)).unwrap();
        std::fs::read(self.dir.certificate().0).unwrap()
    }
}

#[test]
fn a_self_signed_certificate_is_kept_until_it_no_longer_does() {
    let own = Own::new();
    let first = own.after_a_start(&[]);
    assert_eq!(own.after_a_start(&[]), first, "a start makes no other");
    own.now.fetch_add(334 * DAY, Ordering::Relaxed);
    assert_eq!(own.after_a_start(&[]), first, "31 days are left");
    own.now.fetch_add(2 * DAY, Ordering::Relaxed);
    let second = own.after_a_start(&[]);
    assert_ne!(second, first, "29 days are left");
    let third = own.after_a_start(&["gateway.example", "10.0.0.7"]);
    assert_ne!(third, second, "further names");
    assert_eq!(own.after_a_start(&["gateway.example"]), third, "it holds for fewer names too");
    std::fs::write(own.dir.certificate().1, "torn").unwrap();
    assert_ne!(own.after_a_start(&[]), third, "its key is gone");
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_the_key() {
    use std::os::unix::fs::PermissionsExt;
    let own = Own::new();
    own.after_a_start(&[]);
    let (cert, key) = own.dir.certificate();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(cert.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason() {
    let (own, other) = (Own::new(), Own::new());
    own.after_a_start(&[]);
    other.after_a_start(&[]);
    let ((cert, key), (other_cert, _)) = (own.dir.certificate(), other.dir.certificate());
    let text = own.dir.path().join("text.txt");
    std::fs::write(&text, "not a certificate").unwrap();
    let broken = own.dir.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let missing = own.dir.path().join("missing.pem");
    let cases = [
        (&missing, &key, vec!["missing.pem", "cannot be read"]),
        (&cert, &missing, vec!["missing.pem", "cannot be read"]),
        (&text, &key, vec!["text.txt", "BEGIN CERTIFICATE"]),
        (&cert, &text, vec!["text.txt", "BEGIN PRIVATE KEY"]),
        (&broken, &key, vec!["broken.pem", "certificate"]),
        (&other_cert, &key, vec!["does not belong", "key.pem", "cert.pem"]),
    ];
    for (cert, key, words) in cases {
        let source = Source::Files { cert: cert.clone(), key: key.clone() };
        let error = Certificates::open(source).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
}

#[test]
fn a_new_certificate_is_taken_and_a_bad_one_named_once() {
    let (own, other) = (Own::new(), Own::new());
    own.after_a_start(&[]);
    other.after_a_start(&[]);
    let (cert, key) = own.dir.certificate();
    let shown = |certificates: &Certificates| certificates.shown.0.load().cert[0].to_vec();
    let mut certificates =
        Certificates::open(Source::Files { cert: cert.clone(), key: key.clone() }).unwrap();
    let first = shown(&certificates);
    assert!(!certificates.look().unwrap(), "nothing changed");

    std::fs::write(&cert, "half a file").unwrap();
    assert!(certificates.look().is_err());
    assert!(!certificates.look().unwrap(), "it is said once");
    assert_eq!(shown(&certificates), first, "the old one stays");
    std::fs::remove_file(&cert).unwrap();
    assert!(certificates.look().is_err());
    assert!(!certificates.look().unwrap(), "it is said once");

    std::fs::copy(other.dir.certificate().0, &cert).unwrap();
    std::fs::copy(other.dir.certificate().1, &key).unwrap();
    assert!(certificates.look().unwrap());
    assert_ne!(shown(&certificates), first);
}

#[test]
fn names() {
    for name in ["localhost", "gateway.example", "127.0.0.1", "::1"] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "a b", "localhost:7343", "https://x", "[::1]"] {
        assert!(!is_name(name), "{name}");
    }
}
