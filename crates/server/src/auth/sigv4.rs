//! Clients that sign as AWS does: the access key pair that a request names, and whether its secret signed it.
//!
//! Two steps, because a signature covers the body: [`claim`] looks at the head and refuses what no body can
//! save, so that a stranger cannot make the server collect one; [`Claim::prove`] does the rest.

use std::sync::Arc;

use quick_cache::sync::Cache;
use secrecy::ExposeSecret as _;
use steelyard_core::{ApiError, ErrorCode, Principal, Timestamp};
use steelyard_dialect::sigv4::{self, Scope, SigV4Error, Signature, SignedRequest, SigningKey};
use steelyard_gateway::snapshot::{AwsKeyRecord, Snapshot};

/// Derived keys that are kept. One key pair needs one a day for each region that its clients are set to.
const MOST_KEYS: usize = 1024;

/// Signing keys by what they were derived from, so that the four HMACs of a derivation are made once a day.
///
/// The name of an entry is a hash over the secret too: after a rotation the old key is never found again. Only keys
/// that have verified a request are kept, so nobody without the secret can push others out.
#[derive(Debug)]
pub struct SigningKeys(Cache<[u8; 32], SigningKey>);

impl Default for SigningKeys {
    fn default() -> Self {
        Self(Cache::new(MOST_KEYS))
    }
}

/// What a request says about itself, before its body is there.
pub(crate) struct Claim<'a> {
    signature: Signature<'a>,
    record: &'a AwsKeyRecord,
}

/// The key pair that a request claims to be signed with; `None` when it is not signed at all.
pub(crate) fn claim<'a>(
    snapshot: &'a Snapshot,
    request: &SignedRequest<'a>,
    now: Timestamp,
) -> Option<Result<Claim<'a>, ApiError>> {
    let signature = match sigv4::parse(request.headers)? {
        Ok(signature) => signature,
        Err(error) => return Some(Err(refused(&error))),
    };
    if let Err(error) = signature.precheck(request, now) {
        return Some(Err(refused(&error)));
    }
    let Some(record) = snapshot.aws_key(signature.access_key_id) else {
        let text = "the access key id is not known here: it may be mistyped, revoked, or one of AWS's own";
        return Some(Err(ApiError::new(ErrorCode::InvalidCredential, text)));
    };
    Some(Ok(Claim { signature, record }))
}

impl Claim<'_> {
    /// The principal of the key pair, when its secret signed this request with this body as it was on the wire.
    pub(crate) fn prove(
        &self,
        keys: &SigningKeys,
        request: &SignedRequest<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Arc<Principal>, ApiError> {
        let secret = self.record.secret.expose_secret();
        let name = name_of(self.signature.access_key_id, &self.signature.scope, secret);
        let kept = keys.0.get(&name);
        let is_new = kept.is_none();
        let key = kept.unwrap_or_else(|| SigningKey::derive(secret, &self.signature.scope));
        self.signature.verify(request, body, &key, now).map_err(|error| refused(&error))?;
        if is_new {
            keys.0.insert(name, key);
        }
        // Only whoever has the secret learns that the pair has expired.
        match self.record.expires_at {
            Some(end) if end <= now => {
                let name = &self.record.principal.name;
                let text = format!("key `{name}` expired at {end}: rotate it, or make a new one");
                Err(ApiError::new(ErrorCode::ExpiredKey, text))
            }
            Some(_) | None => Ok(Arc::clone(&self.record.principal)),
        }
    }
}

/// A name for a derived key that needs no memory of its own. Each part goes in with its length, so that no two
/// lists of parts give the same bytes.
fn name_of(access_key_id: &str, scope: &Scope<'_>, secret: &str) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for part in [access_key_id, scope.date, scope.region, scope.service, secret] {
        hash.update(&part.len().to_le_bytes()).update(part.as_bytes());
    }
    *hash.finalize().as_bytes()
}

fn refused(error: &SigV4Error) -> ApiError {
    ApiError::new(error.code(), error.to_string())
}

#[cfg(test)]
mod tests;
