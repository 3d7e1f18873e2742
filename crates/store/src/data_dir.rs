//! The data directory: one process at a time, readable by its owner alone.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;

use crate::vault::{MasterKey, random};
use crate::{Secret, StoreError};

/// A data directory that this process holds the lock of. Clones share the lock; it is released with the last of
/// them, or by the system when the process ends in any way.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    _lock: Arc<File>,
}

/// The admin key, and whether this call made it (then it is to be shown, once).
#[derive(Debug)]
pub struct AdminKey {
    /// The secret.
    pub secret: Secret,
    /// Whether it was made just now.
    pub created: bool,
}

impl DataDir {
    /// Opens the directory, making it with mode 0700 if it is not there, and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it; [`StoreError::File`] when it cannot be made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        builder.mode(0o700);
        builder.create(path).map_err(|error| StoreError::file("create", path, error))?;
        let path = path.canonicalize().map_err(|error| StoreError::file("open", path, error))?;

        let lock_path = path.join("lock");
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(&lock_path)
            .map_err(|error| StoreError::file("open", &lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path }),
            Err(TryLockError::Error(error)) => Err(StoreError::file("lock", &lock_path, error)),
        }
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The main database.
    pub fn database(&self) -> PathBuf {
        self.path.join("steelyard.db")
    }

    /// The spool.
    pub fn spool(&self) -> PathBuf {
        self.path.join("spool.db")
    }

    /// Where the admin key is kept.
    pub fn admin_key_file(&self) -> PathBuf {
        self.path.join("admin.key")
    }

    /// Reads the admin key, or makes it at the first start: `sk-sy-admin-` and 256 random bits, in a file of
    /// mode 0600 that appears whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be read or written, [`StoreError::Invalid`] when it is empty.
    pub fn admin_key(&self) -> Result<AdminKey, StoreError> {
        let path = self.admin_key_file();
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Err(StoreError::Invalid(format!(
                "the admin key file {} is empty: delete it, and the next start makes a new key",
                path.display()
            ))),
            Ok(text) => Ok(AdminKey { secret: Secret::from(text.trim().to_owned()), created: false }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = Secret::generate_admin();
                self.write_private(&path, secret.expose())?;
                Ok(AdminKey { secret, created: true })
            }
            Err(error) => Err(StoreError::file("read", &path, error)),
        }
    }

    /// The self-signed certificate for development, and its key.
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        let folder = self.path.join("tls");
        (folder.join("cert.pem"), folder.join("key.pem"))
    }

    /// Where the key of the vault is kept.
    pub fn vault_key_file(&self) -> PathBuf {
        self.path.join("vault.key")
    }

    /// Files with keys that others than their owner may read or write, each with its mode. The system does not say so on
    /// other systems than Unix.
    pub fn exposed_keys(&self) -> Vec<(PathBuf, u32)> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o777);
            let keys = [self.admin_key_file(), self.vault_key_file(), self.certificate().1];
            let exposed =
                |path: PathBuf| mode(&path).filter(|mode| mode & 0o077 != 0).map(|mode| (path, mode));
            keys.into_iter().filter_map(exposed).collect()
        }
        #[cfg(not(unix))]
        Vec::new()
    }

    /// Reads the key under which secrets in the database are sealed; none if there is no such file.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be read, [`StoreError::Invalid`] when it holds something else.
    pub(crate) fn vault_key(&self) -> Result<Option<MasterKey>, StoreError> {
        let path = self.vault_key_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::file("read", &path, error)),
        };
        let bits = STANDARD.decode(text.trim()).map(Zeroizing::new).ok();
        let bits = bits.as_deref().and_then(|bits| <&[u8; 32]>::try_from(bits.as_slice()).ok());
        bits.map(|bits| Some(MasterKey::new(bits))).ok_or_else(|| {
            StoreError::Invalid(format!(
                "{} is not a key of the vault: put the file back as it was",
                path.display()
            ))
        })
    }

    /// Makes that key: 256 random bits in base64, in a file of mode 0600 that appears whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be written.
    pub(crate) fn make_vault_key(&self) -> Result<MasterKey, StoreError> {
        let (path, bits) = (self.vault_key_file(), Zeroizing::new(random::<32>()));
        let text = Zeroizing::new(STANDARD.encode(&bits[..]));
        self.write_private(&path, &text)?;
        Ok(MasterKey::new(&bits))
    }

    /// Writes a line of text into a file of the directory that appears whole or not at all, with mode 0600. A folder
    /// that is missing on its way is made with mode 0700.
    ///
    /// # Errors
    /// [`StoreError::File`] when it cannot be written.
    pub fn write_private(&self, path: &Path, text: &str) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(&self.path);
        let draft = path.with_extension("draft");
        let write = || {
            let mut builder = DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            builder.mode(0o700);
            builder.create(folder)?;
            let mut file =
                private(OpenOptions::new().write(true).create(true).truncate(true)).open(&draft)?;
            writeln!(file, "{}", text.trim_end())?;
            file.sync_all()?;
            std::fs::rename(&draft, path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| StoreError::file("write", path, error))
    }
}

/// With mode 0600 for a file that gets created.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    options.mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("a/b"), "{error}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn the_admin_key_is_made_once() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temporary.path()).unwrap();
        let made = dir.admin_key().unwrap();
        assert!(made.created && made.secret.expose().starts_with("sk-sy-admin-"));
        let read = dir.admin_key().unwrap();
        assert!(!read.created);
        assert_eq!(read.secret.expose(), made.secret.expose());
        std::fs::write(dir.admin_key_file(), "\n").unwrap();
        assert!(dir.admin_key().unwrap_err().to_string().contains("admin.key"));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&temporary.path().join("data")).unwrap();
        dir.admin_key().unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.admin_key_file()), 0o600);
        dir.make_vault_key().unwrap();
        assert_eq!(mode(&dir.vault_key_file()), 0o600);
        assert_eq!(dir.exposed_keys(), []);
        for file in [dir.admin_key_file(), dir.vault_key_file()] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o640)).unwrap();
        }
        assert_eq!(dir.exposed_keys(), [(dir.admin_key_file(), 0o640), (dir.vault_key_file(), 0o640)]);
    }
}
