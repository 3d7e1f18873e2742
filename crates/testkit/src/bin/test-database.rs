//! An empty PostgreSQL database as a process of its own, for tests that are not written in Rust.
//!
//! `test-database NAME` prints `made URL` and drops the database when its standard input ends, which it also does when
//! whoever started it is killed. Where there is no server it prints `skipped: NAME on PostgreSQL` with the reason and
//! ends, with an error if `STEELYARD_TEST_REQUIRE` names `postgres`; see [`steelyard_testkit::postgres`].

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use steelyard_testkit::postgres::Database;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).expect("usage: test-database NAME");
    // What is left out is named after the thread, as the harness of tests names threads.
    let making = std::thread::Builder::new().name(name).spawn(Database::new);
    let made = making.expect("a thread can be started").join();
    match made {
        Ok(Some(database)) => {
            let mut out = std::io::stdout();
            writeln!(out, "made {}", database.url()).expect("whoever started it reads the address");
            let mut rest = Vec::new();
            // However it ends, nobody needs the database any more.
            let _ = std::io::stdin().read_to_end(&mut rest);
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        // The thread has said why.
        Err(_) => ExitCode::FAILURE,
    }
}
