//! The folder `.local/` at the root of the repository: the data, the secret and the mails of the local bundle, and the
//! tools that were installed for it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use ring::rand::{SecureRandom, SystemRandom};

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Kept at the root whatever the folder, because tools hold no data.
    tools: PathBuf,
    /// Locked for as long as this lives, if the data is in use.
    lock: Option<File>,
}

/// The folder at or above the current one that holds `template.yaml`.
pub(crate) fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder cannot be read")?;
    let root = here.ancestors().find(|folder| {
        folder.join("template.yaml").is_file() && folder.join("Cargo.toml").is_file()
    });
    match root {
        Some(root) => Ok(root.to_owned()),
        None => bail!(
            "neither {} nor a folder above it holds template.yaml; go to the repository and try again",
            here.display()
        ),
    }
}

impl Folder {
    /// Makes the folder if it is missing, and checks that it can be used.
    pub(crate) fn open(root: &Path, data: Option<&Path>) -> Result<Self> {
        let own = root.join(".local");
        let folder = Self {
            tools: own.join("tools"),
            path: data.map_or(own, Path::to_owned),
            lock: None,
        };
        fs::create_dir_all(folder.mail()).map_err(|error| folder.unusable(&error))?;
        Ok(folder)
    }

    /// Makes sure that no other `cargo dev` uses the data.
    pub(crate) fn lock(&mut self) -> Result<()> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path.join("lock"))
            .map_err(|error| self.unusable(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = file.read_to_string(&mut process);
                bail!(
                    "another `cargo dev` (process {}) is using {}; stop it first, or start this one with \
                     `cargo dev --ephemeral --port 9100`",
                    process.trim(),
                    self.path.display()
                );
            }
            Err(TryLockError::Error(error)) => return Err(self.unusable(&error)),
        }
        // The number is for people; the lock is what counts.
        let _ = file.set_len(0);
        let _ = write!(file, "{}", std::process::id());
        self.lock = Some(file);
        Ok(())
    }

    /// Deletes all but the tools.
    pub(crate) fn reset(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path).map_err(|error| self.unusable(&error))? {
            let entry = entry?;
            if ["lock", "tools"]
                .iter()
                .any(|kept| entry.file_name() == *kept)
            {
                continue;
            }
            let path = entry.path();
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.with_context(|| format!("{} cannot be deleted", path.display()))?;
        }
        fs::create_dir_all(self.mail()).map_err(|error| self.unusable(&error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn mail(&self) -> PathBuf {
        self.path.join("mail")
    }

    pub(crate) fn tools(&self) -> PathBuf {
        self.tools.clone()
    }

    /// The development secret, which is made at the first call and for this user's eyes.
    pub(crate) fn secret(&self) -> Result<String> {
        let path = self.path.join("secret");
        match fs::read_to_string(&path) {
            Ok(secret) if secret.trim().len() >= 64 => return Ok(secret.trim().to_owned()),
            Ok(_) => bail!(
                "{} does not hold 64 characters; delete it to get a new secret, which ends all sessions",
                path.display()
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(format!("{} cannot be read", path.display())),
        }
        let secret = random_secret()?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(secret.as_bytes()))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(secret)
    }

    fn unusable(&self, error: &io::Error) -> anyhow::Error {
        anyhow!(
            "the folder {} cannot be used ({error}); make it one that you may read and write, or delete it",
            self.path.display()
        )
    }
}

/// 64 random characters, as CloudFormation generates for a deployment.
pub(crate) fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow!("the system has no random numbers to give"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_stays_and_is_private() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), None).unwrap();
        let secret = folder.secret().unwrap();
        assert_eq!(secret.len(), 64);
        assert_eq!(folder.secret().unwrap(), secret);
        let file = fs::metadata(folder.path().join("secret")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);

        fs::write(folder.path().join("secret"), "short").unwrap();
        assert!(folder.secret().is_err());
    }

    #[test]
    fn only_one_may_use_the_data() {
        let root = tempfile::tempdir().unwrap();
        let mut first = Folder::open(root.path(), None).unwrap();
        first.lock().unwrap();
        let mut second = Folder::open(root.path(), None).unwrap();
        let error = second.lock().unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(error.contains(&process), "{error}");

        drop(first);
        second.lock().unwrap();
    }

    #[test]
    fn a_reset_keeps_the_tools() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), None).unwrap();
        let tool = folder.tools().join("bin");
        fs::create_dir_all(&tool).unwrap();
        let secret = folder.secret().unwrap();
        fs::write(folder.mail().join("1.eml"), "").unwrap();

        folder.reset().unwrap();
        assert!(tool.is_dir() && folder.mail().is_dir());
        assert!(!folder.mail().join("1.eml").exists());
        assert_ne!(folder.secret().unwrap(), secret);
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(".local"), "").unwrap();
        let error = Folder::open(root.path(), None).unwrap_err().to_string();
        assert!(error.contains(".local cannot be used"), "{error}");
    }
}
