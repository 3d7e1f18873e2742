use super::*;

fn cell(class: UsageClass, tier: &str, geo: &str, context: Context, pico: i64) -> Cell {
    Cell { class, tier: tier.into(), geo: geo.into(), context, price: UnitPrice::from_pico(pico) }
}

fn base(class: UsageClass, pico: i64) -> Cell {
    cell(class, STANDARD, "global", Context::BASE, pico)
}

fn version(from: i64, cells: Vec<Cell>) -> PriceVersion {
    PriceVersion::new("acme/one", "acme one", "2026-11-21", Timestamp(from), true, cells).unwrap()
}

fn price_at(list: &PriceList, time: i64, class: UsageClass) -> Option<i64> {
    let version = list.at(Timestamp(time))?;
    version.exact(class, version.place("standard", "global", 1)).map(UnitPrice::pico)
}

use UsageClass::{CacheRead, Calls, Input, Output, Reasoning, WebSearch};

#[test]
fn cells_come_back_as_they_went_in() {
    let mut cells = vec![
        base(Input, 5),
        cell(Input, STANDARD, "global", Context::Over(200_000), 10),
        cell(WebSearch, STANDARD, "global", Context::Any, 7),
        cell(Output, "priority", ANY, Context::BASE, 3),
    ];
    let made = version(0, cells.clone());
    let mut back: Vec<Cell> = made.cells().collect();
    for list in [&mut cells, &mut back] {
        list.sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
    }
    assert_eq!(back, cells);
    assert_eq!(made.tiers().iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["priority", "standard"]);
    assert_eq!(made.geos().len(), 1);
}

#[test]
fn an_id_is_stable_and_says_what_it_stands_for() {
    let one = version(0, vec![base(Input, 5), base(Output, 9)]);
    let same = version(0, vec![base(Output, 9), base(Input, 5)]);
    assert_eq!(one.id, same.id);
    assert!(one.id.starts_with("acme/one@2026-11-21#"), "{}", one.id);
    assert_ne!(one.id, version(0, vec![base(Output, 9), base(Input, 6)]).id);
    assert_ne!(one.id, version(1, vec![base(Output, 9), base(Input, 5)]).id);
    let elsewhere =
        PriceVersion::new("acme/one", "other", "2026-11-21", BEGINNING, true, one.cells().collect()).unwrap();
    assert_ne!(one.id, elsewhere.id);
}

#[test]
fn prices_that_cannot_be_meant_are_refused() {
    let refused =
        |cells| PriceVersion::new("a/b", "", "2026-11-21", BEGINNING, true, cells).unwrap_err().to_string();
    assert!(refused(vec![]).contains("name at least one"));
    assert!(refused(vec![base(Input, -1)]).contains("`input`, -1 pico-USD"));
    assert!(refused(vec![base(Input, i64::MAX)]).contains("above 1000 US dollars"));
    assert!(refused(vec![base(Input, 1), base(Input, 1)]).contains("two prices for tier standard"));
    let wild = cell(Input, STANDARD, "global", Context::Any, 1);
    assert!(refused(vec![base(Input, 1), wild]).contains("two prices"));
    let everywhere = cell(Input, STANDARD, ANY, Context::BASE, 1);
    assert!(refused(vec![base(Input, 1), everywhere]).contains("geography"));
    let many = (0..300).map(|n| cell(Input, STANDARD, &format!("g{n}"), Context::BASE, 1)).collect();
    assert!(refused(many).contains("at most 200"));
}

#[test]
fn text_of_prices_and_contexts_round_trips() {
    for (class, text) in
        [(Input, "0.4"), (Output, "10"), (CacheRead, "0.003125"), (WebSearch, "0.014"), (Calls, "0")]
    {
        assert_eq!(price_text(class, parse_price(class, text).unwrap()), text);
    }
    for context in [Context::Any, Context::BASE, Context::Over(272_000)] {
        assert_eq!(context.to_string().parse(), Ok(context));
    }
    for wrong in [">0", ">", "long", ">200k", "200000", ">-1"] {
        let error = wrong.parse::<Context>().unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn a_list_gives_the_last_version_that_has_begun() {
    let list =
        PriceList::published(vec![version(10, vec![base(Input, 2)]), version(0, vec![base(Input, 1)])])
            .unwrap();
    assert_eq!([0, 9, 10, 99].map(|time| price_at(&list, time, Input)), [Some(1), Some(1), Some(2), Some(2)]);
    assert_eq!(list.at(Timestamp(-1)), None);
    assert_eq!(PriceList::unpriced().at(Timestamp(5)), None);
    let twice =
        PriceList::published(vec![version(3, vec![base(Input, 2)]), version(3, vec![base(Input, 1)])]);
    assert!(matches!(twice, Err(PriceError::SameDate { from: Timestamp(3) })));
}

#[test]
fn an_override_holds_from_its_date_and_for_the_classes_it_names() {
    let published = version(
        0,
        vec![
            base(Input, 10),
            cell(Input, STANDARD, "eu", Context::Over(9), 11),
            base(CacheRead, 1),
            base(Output, 20),
            base(Reasoning, 20),
        ],
    );
    let list = PriceList::published(vec![published]).unwrap();
    let price = |pico| UnitPrice::from_pico(pico);
    let own =
        list.with_override("chan/one", Timestamp(50), vec![(Input, price(4)), (Output, price(8))]).unwrap();
    assert_eq!(own.at(Timestamp(49)), list.at(Timestamp(49)), "earlier dates stay as they are");
    let version = own.at(Timestamp(50)).unwrap();
    assert!(version.id.starts_with("chan/one@1970-01-01#"), "{}", version.id);
    let at = |class, geo, prompt| {
        version.exact(class, version.place("standard", geo, prompt)).map(UnitPrice::pico)
    };
    for (geo, prompt) in [("global", 1), ("eu", 100), ("mars", 1)] {
        assert_eq!(at(Input, geo, prompt), Some(4), "{geo} {prompt}");
        assert_eq!(at(Output, geo, prompt), Some(8));
    }
    assert_eq!(at(CacheRead, "global", 1), Some(1), "a class that is not named keeps its price");
    assert_eq!(at(Reasoning, "global", 1), None, "reasoning follows output");
    let again = own.with_override("chan/one", Timestamp(50), vec![(Input, price(5))]);
    assert!(again.unwrap_err().to_string().contains("two prices begin on 1970-01-01"));
    assert_eq!(own.with_override("chan/one", Timestamp(60), vec![]), Err(PriceError::Empty));
}

#[test]
fn overrides_stay_in_force_whatever_order_they_come_in() {
    let published =
        vec![version(0, vec![base(Input, 10)]), version(70, vec![base(Input, 9), base(CacheRead, 2)])];
    let list = PriceList::published(published).unwrap();
    let price = |pico| UnitPrice::from_pico(pico);
    let input = |list: &PriceList, at, pico| {
        list.with_override("c/m", Timestamp(at), vec![(Input, price(pico))]).unwrap()
    };
    let one = input(&input(&list, 50, 4), 80, 3);
    let other = input(&input(&list, 80, 3), 50, 4);
    assert_eq!(one, other);
    assert_eq!(
        [0, 50, 70, 80].map(|time| price_at(&one, time, Input)),
        [Some(10), Some(4), Some(4), Some(3)]
    );
    assert_eq!([50, 70].map(|time| price_at(&one, time, CacheRead)), [None, Some(2)]);
    assert_eq!(one.versions().count(), 4);
}

#[test]
fn an_own_model_has_only_its_own_prices() {
    let list = PriceList::unpriced()
        .with_override("vllm/m", Timestamp(5), vec![(Input, UnitPrice::from_pico(4))])
        .unwrap();
    assert_eq!(list.at(Timestamp(4)), None);
    let version = list.at(Timestamp(5)).unwrap();
    assert!(!version.assumed);
    assert_eq!(version.cells().count(), 1);
}
