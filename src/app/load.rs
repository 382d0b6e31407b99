//! The configuration directory read from disk: files, prompts, environment and generated secrets in, a plan out.
//!
//! The deciding is `dialplan::config`'s. Only [`Purpose::Run`] writes anything: `secrets.toml` beside the database, for keys that say `"generate"`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::audio::clip::Clip;
use crate::audio::wav;
use crate::dialplan::config::{self, Edge, Place, Problem, SourceFile};
use crate::dialplan::listener::TlsFiles;
use crate::dialplan::plan::Plan;
use crate::net::tls::Tls;

/// What the plan is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The PBX runs on it: missing secrets are made and kept.
    Run,
    /// It is only looked at: missing secrets are taken as given.
    Look,
}

/// A plan from disk.
#[derive(Debug)]
pub struct Loaded {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What the admin should look at.
    pub warnings: Vec<Problem>,
    /// The files, for printing problems.
    pub sources: Vec<SourceFile>,
    /// Where each `[[test]]` of the plan says what it expects.
    pub expectations: Vec<Place>,
    /// `secrets.toml`, when any key says `"generate"`.
    pub secrets_file: Option<PathBuf>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A directory or file of the configuration cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is nothing in the directory.
    #[error("{} has no *.toml file: give the directory of the configuration with --config", .0.display())]
    Empty(PathBuf),
    /// Generated secrets cannot be read or kept.
    #[error("generated secrets cannot be kept in {}: {why}", path.display())]
    Secrets {
        /// `secrets.toml`.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The configuration is wrong.
    #[error("{}", lines(problems))]
    Wrong {
        /// Errors and warnings.
        problems: Vec<Problem>,
        /// The files, for printing problems.
        sources: Vec<SourceFile>,
    },
}

/// Reads the plan to run on, as the first of a process. Warnings are dropped; [`load_as`] gives them.
pub fn load(directory: &Path) -> Result<Arc<Plan>, LoadError> {
    load_as(directory, Purpose::Run, 1).map(|loaded| loaded.plan)
}

/// Reads a plan; `version` counts reloads.
pub fn load_as(directory: &Path, purpose: Purpose, version: u64) -> Result<Loaded, LoadError> {
    let sources = read_sources(directory)?;
    let path = secrets_path(&config::database(&sources));
    let disk = Disk {
        directory,
        purpose,
        clips: RefCell::default(),
        secrets: RefCell::new(Secrets::read(&path, purpose)?),
    };
    let checked = config::examine(&sources, &disk, version);
    let Some(plan) = checked.plan else {
        return Err(LoadError::Wrong {
            problems: checked.problems,
            sources,
        });
    };
    let secrets = disk.secrets.into_inner();
    if purpose == Purpose::Run && secrets.made {
        secrets.write(&path)?;
    }
    Ok(Loaded {
        plan: Arc::new(plan),
        warnings: checked.problems,
        sources,
        expectations: checked.expectations,
        secrets_file: secrets.asked.then_some(path),
    })
}

/// `*.toml` in the directory and in its `conf.d/`, each in the order of names.
fn read_sources(directory: &Path) -> Result<Vec<SourceFile>, LoadError> {
    let mut paths = toml_files(directory)?;
    let more = directory.join("conf.d");
    if more.is_dir() {
        paths.extend(toml_files(&more)?);
    }
    if paths.is_empty() {
        return Err(LoadError::Empty(directory.to_owned()));
    }
    paths
        .into_iter()
        .map(|path| match std::fs::read_to_string(&path) {
            Ok(text) => Ok(SourceFile {
                path: path.display().to_string(),
                text,
            }),
            Err(error) => Err(LoadError::Unreadable { path, error }),
        })
        .collect()
}

fn toml_files(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |error: std::io::Error| LoadError::Unreadable {
        path: directory.to_owned(),
        error: std::io::Error::new(
            error.kind(),
            format!("{error}; give the directory of the configuration with --config"),
        ),
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Editors leave hidden files behind.
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
            && path.is_file()
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The edge that is the disk, the environment and the system.
struct Disk<'a> {
    directory: &'a Path,
    purpose: Purpose,
    clips: RefCell<HashMap<String, Result<Arc<Clip>, String>>>,
    secrets: RefCell<Secrets>,
}

impl Edge for Disk<'_> {
    fn clip(&self, path: &str) -> Result<Arc<Clip>, String> {
        let mut clips = self.clips.borrow_mut();
        clips
            .entry(path.to_owned())
            .or_insert_with(|| {
                let bytes =
                    std::fs::read(self.directory.join(path)).map_err(|error| error.to_string())?;
                wav::read_clip(path, &bytes).map_err(|error| error.to_string())
            })
            .clone()
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn secret(&self, key: &str) -> Option<String> {
        let mut secrets = self.secrets.borrow_mut();
        secrets.asked = true;
        if let Some(value) = secrets.values.get(key) {
            return Some(value.clone());
        }
        let value = match self.purpose {
            Purpose::Run => random_secret()?,
            Purpose::Look => NOT_MADE_YET.to_owned(),
        };
        secrets.made = true;
        secrets.values.insert(key.to_owned(), value.clone());
        Some(value)
    }

    fn host_name(&self) -> Option<String> {
        ["/proc/sys/kernel/hostname", "/etc/hostname"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok())
            .map(|name| name.trim().to_owned())
    }

    fn time_zone(&self, name: &str) -> Option<jiff::tz::TimeZone> {
        jiff::tz::TimeZone::get(name).ok()
    }

    fn file(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    fn tls(&self, files: &TlsFiles) -> Result<(), String> {
        match Tls::load(files) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// `secrets.toml`: what was generated, by key.
#[derive(Default)]
struct Secrets {
    values: BTreeMap<String, String>,
    /// Whether any was wanted.
    asked: bool,
    /// Whether any was not in the file.
    made: bool,
}

impl Secrets {
    fn read(path: &Path, purpose: Purpose) -> Result<Secrets, LoadError> {
        let wrong = |why: String| LoadError::Secrets {
            path: path.to_owned(),
            why,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == NotFound => String::new(),
            // Whoever only looks may be another user than the one who runs it.
            Err(error) if purpose == Purpose::Look && error.kind() == PermissionDenied => {
                String::new()
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        let values = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        Ok(Secrets {
            values,
            ..Secrets::default()
        })
    }

    /// Replaces the file as a whole, readable by its owner only.
    fn write(&self, path: &Path) -> Result<(), LoadError> {
        self.try_write(path).map_err(|error| LoadError::Secrets {
            path: path.to_owned(),
            why: error.to_string(),
        })
    }

    fn try_write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)?;
        }
        let body = toml::to_string(&self.values).map_err(std::io::Error::other)?;
        let fresh = path.with_extension("toml.new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(b"# Made by vats for keys that say \"generate\". Delete a line to get a new value at the next start.\n")?;
        file.write_all(body.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    }
}

fn secrets_path(database: &str) -> PathBuf {
    let path = database
        .split_once("://")
        .map_or(database, |(_, path)| path);
    let path = path.split('?').next().unwrap_or("");
    match Path::new(path).parent() {
        Some(parent) if !path.is_empty() => parent.join("secrets.toml"),
        _ => PathBuf::from("data/secrets.toml"),
    }
}

/// 24 characters that can be read aloud: about 139 bits.
fn random_secret() -> Option<String> {
    let mut secret = String::with_capacity(24);
    while secret.len() < 24 {
        let mut bytes = [0u8; 64];
        getrandom::fill(&mut bytes).ok()?;
        for byte in bytes {
            // Taking only what is below the alphabet's length keeps every character equally likely.
            if let Some(&letter) = ALPHABET.get(usize::from(byte & 0x3f))
                && secret.len() < 24
            {
                secret.push(letter as char);
            }
        }
    }
    Some(secret)
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Letters and digits without those that look alike.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Stands for a secret that `vats run` will make.
const NOT_MADE_YET: &str = "made-at-the-first-start";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_lie_beside_the_database() {
        assert_eq!(
            secrets_path("sqlite://data/vats.db"),
            Path::new("data/secrets.toml")
        );
        assert_eq!(
            secrets_path("sqlite:///var/lib/vats/a.db?mode=rwc"),
            Path::new("/var/lib/vats/secrets.toml")
        );
        assert_eq!(secrets_path("sqlite://vats.db"), Path::new("secrets.toml"));
    }

    #[test]
    fn secrets_differ_and_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/secrets.toml");
        let mut secrets = Secrets::read(&path, Purpose::Run).unwrap();
        let (one, two) = (random_secret().unwrap(), random_secret().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 24);
        secrets
            .values
            .insert("operators.anna.password".into(), one.clone());
        secrets.write(&path).unwrap();
        secrets.write(&path).unwrap();
        let read = Secrets::read(&path, Purpose::Run).unwrap();
        assert_eq!(read.values.get("operators.anna.password"), Some(&one));
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
