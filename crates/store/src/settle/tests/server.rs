//! What only a database on a server does: it goes away by itself, and several write into it.

use steelyard_core::Clock;
use steelyard_testkit::postgres::Database;

use super::*;
use crate::{DataDir, SpoolOptions};

#[tokio::test]
async fn a_server_that_is_gone_loses_nothing() {
    let Some(database) = Database::new() else { return };
    let house = House::new(Place::Postgres(database)).await;
    let Place::Postgres(database) = &house.place else { panic!("it was made on PostgreSQL") };
    let spool = house.spool();
    let settler = Settler::start(&house.db, &spool).unwrap();
    call_once(&spool).await.unwrap();
    eventually("the first is moved", || spool.health().waiting == 0).await;

    database.cut();
    call_once(&spool).await.unwrap();
    eventually("the settler says so", || settler.health().failing.is_some()).await;
    let told = house.db.keys().load_all().await;
    assert!(matches!(told, Err(StoreError::Unavailable { .. })), "{told:?}");
    assert!(house.db.ping().await.is_err());
    assert_eq!(spool.health().waiting, 1);

    database.mend();
    eventually("the second is moved", || spool.health().waiting == 0).await;
    house.db.ping().await.unwrap();
    assert_eq!(settler.close(LONG).await, Left { calls: 0 });
    assert_eq!(house.ledger().await.len(), 2);
}

/// Several nodes, each with a spool of its own, write into one ledger while somebody follows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_follows_the_feed_of_several_nodes_misses_nothing() {
    const NODES: usize = 4;
    const CALLS: usize = 300;
    let Some(database) = Database::new() else { return };
    let house = House::new(Place::Postgres(database)).await;
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..NODES {
        let db = house.db.clone();
        nodes.spawn(async move {
            let temporary = tempfile::tempdir().unwrap();
            let dir = DataDir::open(temporary.path()).unwrap();
            let (spool, _) = Spool::open(&dir, SpoolOptions::default(), Clock::System).unwrap();
            let settler = Settler::start(&db, &spool).unwrap();
            for turn in 0..CALLS {
                call_once(&spool).await.unwrap();
                if turn % 60 == 0 {
                    tokio::time::sleep(Duration::from_millis(40)).await;
                }
            }
            assert_eq!(settler.close(LONG).await, Left { calls: 0 });
        });
    }
    let mut seen = Vec::new();
    let until = Instant::now() + 3 * LONG;
    while seen.len() < NODES * CALLS && Instant::now() < until {
        let after = seen.last().copied().unwrap_or_default();
        let page = house.db.ledger().entries(after, 1_000, None).await.unwrap();
        seen.extend(page.into_iter().map(|(seq, _)| seq));
    }
    nodes.join_all().await;
    let all: Vec<_> = (1..=i64::try_from(NODES * CALLS).unwrap()).collect();
    assert_eq!(seen, all, "in order, without a gap, and nothing came in behind the reader");
}
