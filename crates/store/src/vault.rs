//! The vault: secrets that must be had again in clear, sealed in the database.
//!
//! Constraints:
//! - Envelopes: each value is sealed by a data key of its project, each data key by the key-encryption key, which is
//!   not in the database. A copy of the database alone opens nothing.
//! - A value opens only in the row and column it was sealed for: these are authenticated with it.
//! - Every stored form begins with the number of its format and names its key, so that keys can be replaced and kept
//!   elsewhere (a key management service) without reading all rows at once.
//!
//! ```text
//! a value       0x01 | id of the data key (16) | nonce (12) | AES-256-GCM ciphertext and tag (16)
//! a data key    0x01 | id of the key-encryption key (8) | nonce (12) | ciphertext (32) and tag (16)
//! authenticated what comes before the nonce; then table, column, row and project, each after its length (u32, LE)
//! ```

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::zeroize::Zeroizing;
use steelyard_core::ProjectId;

/// Where a value lives: it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// What the row is found by.
    pub row: &'a [u8],
    /// The project it belongs to.
    pub project: ProjectId,
}

/// Why something does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It was sealed by a version that this one does not know.
    #[error("it is in format {0}, which this version does not know")]
    Format(u8),
    /// It was sealed under another key.
    #[error("it was sealed under another key")]
    OtherKey,
    /// It was changed, cut off, or is not from this row.
    #[error("it was changed, or is not where it was sealed")]
    Broken,
}

const FORMAT: u8 = 1;
const KEY_LEN: usize = 32;

/// The key of keys: 256 random bits, kept outside of the database.
pub struct MasterKey {
    id: [u8; 8],
    key: LessSafeKey,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// From its bits. The id by which sealed keys name it tells nothing of them.
    pub fn new(bits: &[u8; KEY_LEN]) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&blake3::derive_key("steelyard vault: id of a key-encryption key", bits)[..8]);
        Self { id, key: cipher(bits) }
    }

    /// Makes a data key and its stored form.
    pub fn make(&self, id: [u8; 16], context: &Context<'_>) -> (DataKey, Vec<u8>) {
        let bits = Zeroizing::new(random::<KEY_LEN>());
        let sealed = seal(&self.key, &self.id, context, &bits[..]);
        (DataKey { id, key: cipher(&bits) }, sealed)
    }

    /// A data key from its stored form.
    ///
    /// # Errors
    /// [`VaultError::OtherKey`] when another key of keys sealed it; [`VaultError`].
    pub fn open(&self, id: [u8; 16], context: &Context<'_>, sealed: &[u8]) -> Result<DataKey, VaultError> {
        Ok(DataKey { id, key: cipher(&*self.bits(context, sealed)?) })
    }

    /// The stored form of a data key under `next` instead of this key: what a change of the key of keys needs. What
    /// the data key sealed stays as it is.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn rewrap(&self, next: &Self, context: &Context<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        Ok(seal(&next.key, &next.id, context, &self.bits(context, sealed)?[..]))
    }

    fn bits(&self, context: &Context<'_>, sealed: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, VaultError> {
        let clear = open(&self.key, &self.id, context, sealed)?;
        Ok(Zeroizing::new(clear.as_slice().try_into().map_err(|_| VaultError::Broken)?))
    }
}

/// A key that seals the values of one project.
pub struct DataKey {
    id: [u8; 16],
    key: LessSafeKey,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl DataKey {
    /// The stored form of a value.
    pub fn seal(&self, context: &Context<'_>, clear: &[u8]) -> Vec<u8> {
        seal(&self.key, &self.id, context, clear)
    }

    /// A value from its stored form; the memory is wiped when it is dropped.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        open(&self.key, &self.id, context, sealed)
    }

    /// The data key that sealed a value, by its id.
    pub fn id_in(sealed: &[u8]) -> Option<[u8; 16]> {
        sealed.get(1..17)?.try_into().ok()
    }
}

/// Random bytes, good for keys.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bits = [0; N];
    getrandom::fill(&mut bits).expect("the operating system gives random bytes");
    bits
}

fn cipher(bits: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bits).expect("32 bytes are a key of AES-256"))
}

/// A nonce is random: a data key would have to seal billions of values before two were likely to be the same.
fn seal(key: &LessSafeKey, id: &[u8], context: &Context<'_>, clear: &[u8]) -> Vec<u8> {
    let nonce = random::<NONCE_LEN>();
    let mut sealed = vec![FORMAT];
    sealed.extend_from_slice(id);
    let said = Aad::from(said(&sealed, context));
    sealed.extend_from_slice(&nonce);
    let mut body = Zeroizing::new(clear.to_owned());
    let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), said, &mut body);
    let tag = tag.expect("AES-256-GCM seals up to 64 GiB");
    sealed.extend_from_slice(&body);
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

fn open(
    key: &LessSafeKey,
    id: &[u8],
    context: &Context<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    match sealed.first() {
        Some(&FORMAT) => {}
        Some(&other) => return Err(VaultError::Format(other)),
        None => return Err(VaultError::Broken),
    }
    let (head, rest) = sealed.split_at_checked(1 + id.len()).ok_or(VaultError::Broken)?;
    if &head[1..] != id {
        return Err(VaultError::OtherKey);
    }
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(VaultError::Broken)?;
    let mut body = Zeroizing::new(body.to_owned());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key
        .open_in_place(nonce, Aad::from(said(head, context)), &mut body)
        .map_err(|_| VaultError::Broken)?
        .len();
    body.truncate(length);
    Ok(body)
}

/// What is authenticated with a value: no two contexts give the same bytes.
fn said(head: &[u8], context: &Context<'_>) -> Vec<u8> {
    let mut said = head.to_owned();
    let project = context.project;
    for part in [context.table.as_bytes(), context.column.as_bytes(), context.row, project.as_bytes()] {
        // Names and ids are short; a longer one could not be told from another only beyond 4 GiB.
        said.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        said.extend_from_slice(part);
    }
    said
}

#[cfg(test)]
mod tests;
