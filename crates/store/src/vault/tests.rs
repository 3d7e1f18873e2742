use proptest::prelude::*;

use super::*;

fn project(byte: u8) -> ProjectId {
    ProjectId::from_bytes([byte; 16])
}

fn at(row: &[u8]) -> Context<'_> {
    Context { table: "aws_secrets", column: "sealed", row, project: project(1) }
}

#[test]
fn the_key_of_keys_can_be_replaced() {
    let (old, new) = (MasterKey::new(&random()), MasterKey::new(&random()));
    let (data, wrapped) = old.make([7; 16], &at(b"key"));
    let value = data.seal(&at(b"row"), b"secret");
    assert_eq!(DataKey::id_in(&value), Some([7; 16]));

    let rewrapped = old.rewrap(&new, &at(b"key"), &wrapped).unwrap();
    assert_eq!(old.open([7; 16], &at(b"key"), &rewrapped).unwrap_err(), VaultError::OtherKey);
    assert_eq!(new.open([7; 16], &at(b"key"), &wrapped).unwrap_err(), VaultError::OtherKey);
    assert_eq!(new.rewrap(&old, &at(b"key"), &wrapped).unwrap_err(), VaultError::OtherKey);
    let again = new.open([7; 16], &at(b"key"), &rewrapped).unwrap();
    assert_eq!(&*again.open(&at(b"row"), &value).unwrap(), b"secret");
}

#[test]
fn what_is_sealed_twice_looks_different() {
    let (data, _) = MasterKey::new(&random()).make([7; 16], &at(b"key"));
    assert_ne!(data.seal(&at(b"row"), b"secret"), data.seal(&at(b"row"), b"secret"));
}

#[test]
fn another_format_is_named() {
    let (data, _) = MasterKey::new(&random()).make([7; 16], &at(b"key"));
    let mut value = data.seal(&at(b"row"), b"secret");
    value[0] = 2;
    assert_eq!(data.open(&at(b"row"), &value).unwrap_err(), VaultError::Format(2));
}

#[test]
fn keys_do_not_print() {
    let master = MasterKey::new(&random());
    let (data, _) = master.make([7; 16], &at(b"key"));
    assert_eq!(format!("{master:?} {data:?}"), "MasterKey(…) DataKey(…)");
}

fn context((table, column, row, byte): &(String, String, Vec<u8>, u8)) -> Context<'_> {
    Context { table, column, row, project: project(*byte) }
}

proptest! {
    #[test]
    fn what_was_sealed_opens(clear in any::<Vec<u8>>(), row in any::<Vec<u8>>()) {
        let master = MasterKey::new(&random());
        let (data, wrapped) = master.make([7; 16], &at(b"key"));
        let value = data.seal(&at(&row), &clear);
        prop_assert_eq!(&*data.open(&at(&row), &value).unwrap(), &clear);
        let again = master.open([7; 16], &at(b"key"), &wrapped).unwrap();
        prop_assert_eq!(&*again.open(&at(&row), &value).unwrap(), &clear);
    }

    #[test]
    fn a_flipped_bit_or_a_cut_end_is_noticed(clear in any::<Vec<u8>>(), place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let master = MasterKey::new(&random());
        let (data, wrapped) = master.make([7; 16], &at(b"key"));
        let value = data.seal(&at(b"row"), &clear);
        let flipped = |sealed: &[u8]| {
            let mut sealed = sealed.to_owned();
            let at = place.index(sealed.len());
            sealed[at] ^= 1 << bit;
            sealed
        };
        prop_assert!(data.open(&at(b"row"), &flipped(&value)).is_err());
        prop_assert!(master.open([7; 16], &at(b"key"), &flipped(&wrapped)).is_err());
        prop_assert!(data.open(&at(b"row"), &value[..place.index(value.len())]).is_err());
        prop_assert!(master.open([7; 16], &at(b"key"), &wrapped[..place.index(wrapped.len())]).is_err());
    }

    #[test]
    fn a_value_opens_nowhere_else(
        here in (".{0,4}", ".{0,4}", any::<Vec<u8>>(), any::<u8>()),
        there in (".{0,4}", ".{0,4}", any::<Vec<u8>>(), any::<u8>()),
    ) {
        prop_assume!(here != there);
        let (data, _) = MasterKey::new(&random()).make([7; 16], &at(b"key"));
        let value = data.seal(&context(&here), b"secret");
        prop_assert_eq!(data.open(&context(&there), &value).unwrap_err(), VaultError::Broken);
        // The same characters, divided otherwise.
        let (table, column, row, byte) = &here;
        let moved = (format!("{table}{column}"), String::new(), row.clone(), *byte);
        prop_assume!(moved != here);
        prop_assert_eq!(data.open(&context(&moved), &value).unwrap_err(), VaultError::Broken);
    }
}
