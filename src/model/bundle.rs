//! A bundle: the folder that the exporter writes, opened and checked.
//!
//! Opening hashes the graphs and the tokenizer (which are small and determine the meaning of the weights) and checks
//! only the size of the weights. [`Bundle::verify_weights`] hashes the weights before the model is used, those of a
//! large model only once; [`Bundle::verify`] hashes all files.

use super::error::{ModelError, Result};
use super::external_data;
use super::hex::hex;
use super::manifest::{FileEntry, MANIFEST_FILE, Manifest, Role};
use super::tokenizer::Tokenizer;
use super::weights::HashedFiles;
use crate::files;
use crate::trace::ModelInfo;
use sha2::{Digest as _, Sha256};
use std::fs::Metadata;
use std::io::Read as _;
use std::path::{Path, PathBuf};

const HASH_BLOCK_BYTES: usize = 1 << 20;
/// Weights of so many bytes in all are hashed at every start, in less than a tenth of a second.
const SMALL_WEIGHTS_BYTES: u64 = 64 << 20;
/// A graph contains the operators; its weights are in separate files.
const MAX_GRAPH_BYTES: u64 = 256 << 20;
/// Twice the largest tokenizer.json of the models that can be exported.
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// An opened bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    folder: PathBuf,
    manifest: Manifest,
    manifest_sha256: String,
    tokenizer: Tokenizer,
}

impl Bundle {
    /// Reads the manifest and checks it, the files' sizes, the hashes of graphs and tokenizer, that graphs read only
    /// the listed files, and that the tokenizer fits the vocabulary. ONNX Runtime is not needed.
    ///
    /// # Errors
    /// Each error names the file, the field, the cause and the remedy.
    pub fn open(folder: &Path) -> Result<Self> {
        let not_a_bundle =
            |reason: String| ModelError::NotABundle { folder: folder.to_owned(), reason };
        if !folder.is_dir() {
            let what = if folder.exists() { "it is a file" } else { "there is no such folder" };
            return Err(not_a_bundle(what.into()));
        }
        let path = folder.join(MANIFEST_FILE);
        let bytes = match files::read(&path, files::MOST_TEXT_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(not_a_bundle(format!("it has no {MANIFEST_FILE}")));
            }
            Err(source) => return Err(ModelError::BundleFile { path, source }),
        };
        let manifest = Manifest::parse(&path, &bytes)?;
        let mut tokenizer_bytes = Vec::new();
        for (name, entry) in &manifest.files {
            let file = resolve(folder, &path, name)?;
            check_size(&file, entry)?;
            let bytes = match entry.role {
                // Weights are hashed before the graphs are loaded.
                Role::Weights => continue,
                Role::Graph => read(&file, entry, MAX_GRAPH_BYTES)?,
                Role::Tokenizer => read(&file, entry, MAX_TOKENIZER_BYTES)?,
            };
            check_hash(&file, entry, &hex(&Sha256::digest(&bytes)))?;
            if entry.role == Role::Graph {
                check_external_data(&file, name, &bytes, &manifest)?;
            } else {
                tokenizer_bytes = bytes;
            }
        }
        let tokenizer_path = folder.join(manifest.tokenizer_file().unwrap_or_default());
        let tokenizer = Tokenizer::from_bytes(&tokenizer_path, &tokenizer_bytes, &manifest)?;
        let manifest_sha256 = hex(&Sha256::digest(&bytes));
        Ok(Self { folder: folder.to_owned(), manifest, manifest_sha256, tokenizer })
    }

    /// A bundle on another machine, known by its manifest and its tokenizer: graphs and weights are not here. `folder`
    /// names it in errors.
    ///
    /// # Errors
    /// A manifest or tokenizer that does not fit, as [`Self::open`].
    pub fn elsewhere(folder: &Path, manifest: &[u8], tokenizer: &[u8]) -> Result<Self> {
        let manifest_sha256 = hex(&Sha256::digest(manifest));
        let manifest = Manifest::parse(&folder.join(MANIFEST_FILE), manifest)?;
        let name = manifest.tokenizer_file().unwrap_or_default();
        let path = folder.join(name);
        let wrong = |reason: String| ModelError::Tokenizer { path: path.clone(), reason };
        if tokenizer.len() as u64 > MAX_TOKENIZER_BYTES {
            let bytes = tokenizer.len();
            return Err(wrong(format!(
                "it has {bytes} bytes, at most {MAX_TOKENIZER_BYTES} can be read"
            )));
        }
        if let Some(entry) = manifest.files.get(name) {
            check_hash(&path, entry, &hex(&Sha256::digest(tokenizer)))?;
        }
        let tokenizer = Tokenizer::from_bytes(&path, tokenizer, &manifest)?;
        Ok(Self { folder: folder.to_owned(), manifest, manifest_sha256, tokenizer })
    }

    /// The content of the tokenizer's file.
    ///
    /// # Errors
    /// If it cannot be read or has changed.
    pub fn tokenizer_bytes(&self) -> Result<Vec<u8>> {
        let name = self.manifest.tokenizer_file().unwrap_or_default();
        let path = self.folder.join(name);
        let Some(entry) = self.manifest.files.get(name) else {
            let reason = "it is not listed in the manifest".to_owned();
            return Err(ModelError::Tokenizer { path, reason });
        };
        let bytes = read(&path, entry, MAX_TOKENIZER_BYTES)?;
        check_hash(&path, entry, &hex(&Sha256::digest(&bytes)))?;
        Ok(bytes)
    }

    /// Hashes every file, including the weights; `progress` receives the bytes done and the total.
    ///
    /// # Errors
    /// The first file that cannot be read or has changed.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        self.hash(self.manifest.files.iter(), progress, &mut |_, _, _| {})
    }

    /// Hashes the weights; of a large model only files that have changed since they were hashed on
    /// this machine. `cache` is the folder where that is noted. `progress` as in [`Self::verify`].
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_weights(
        &self,
        cache: Option<&Path>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let weights = self.manifest.files.iter().filter(|(_, entry)| entry.role == Role::Weights);
        if weights.clone().map(|(_, entry)| entry.bytes).sum::<u64>() <= SMALL_WEIGHTS_BYTES {
            return self.hash(weights, progress, &mut |_, _, _| {});
        }
        let mut known = HashedFiles::read(&self.folder, cache);
        let unknown: Vec<_> = weights
            .filter(|(name, entry)| !known.has(name, &self.folder.join(name), &entry.sha256))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        self.hash(unknown.into_iter(), progress, &mut |name, before, sha256| {
            known.add(name, before, sha256);
        })?;
        known.keep();
        Ok(())
    }

    /// Compares files with their entries in the manifest; `hashed` gets each name with the file's
    /// metadata from before it was read and its hash.
    fn hash<'a>(
        &self,
        entries: impl Iterator<Item = (&'a String, &'a FileEntry)> + Clone,
        progress: &mut dyn FnMut(u64, u64),
        hashed: &mut dyn FnMut(&str, &Metadata, &str),
    ) -> Result<()> {
        let total = entries.clone().map(|(_, entry)| entry.bytes).sum();
        let mut done = 0;
        for (name, entry) in entries {
            let path = resolve(&self.folder, &self.manifest_path(), name)?;
            check_size(&path, entry)?;
            let unreadable =
                |source: std::io::Error| ModelError::BundleFile { path: path.clone(), source };
            let mut file = files::open_regular(&path).map_err(unreadable)?;
            let before = file.metadata().map_err(unreadable)?;
            let mut hasher = Sha256::new();
            let mut block = vec![0; HASH_BLOCK_BYTES.min(entry.bytes as usize).max(1)];
            loop {
                let count = file.read(&mut block).map_err(unreadable)?;
                if count == 0 {
                    break;
                }
                hasher.update(&block[..count]);
                done += count as u64;
                progress(done, total);
            }
            check_hash(&path, entry, &hex(&hasher.finalize()))?;
            hashed(name, &before, &entry.sha256);
        }
        Ok(())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Refuses a bundle whose graphs lack a capability; `feature` names in words what needs it.
    ///
    /// # Errors
    /// [`ModelError::NoCapability`].
    pub fn require(&self, capability: &str, feature: &'static str) -> Result<()> {
        if self.manifest.can(capability) {
            return Ok(());
        }
        Err(ModelError::NoCapability { folder: self.folder.clone(), feature })
    }

    /// The path of the manifest.
    pub fn manifest_path(&self) -> PathBuf {
        self.folder.join(MANIFEST_FILE)
    }

    /// SHA-256 of the manifest, which holds the hashes of all other files.
    pub fn sha256(&self) -> &str {
        &self.manifest_sha256
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The model's description for a trace.
    pub fn model_info(&self) -> ModelInfo {
        let (text, vision) = (&self.manifest.text, &self.manifest.vision);
        ModelInfo {
            name: self.manifest.name.clone(),
            bundle_sha: self.manifest_sha256.clone(),
            layers: text.layers as u32,
            heads: text.heads as u32,
            kv_heads: text.kv_heads as u32,
            vision_layers: vision.layers as u32,
            vision_heads: vision.heads as u32,
            ..ModelInfo::default()
        }
    }
}

/// The path of a file named in the manifest; it must be inside the folder even if links are followed.
fn resolve(folder: &Path, manifest: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let unreadable = |source| ModelError::BundleFile { path: path.clone(), source };
    let real_folder = folder.canonicalize().map_err(unreadable)?;
    let real = path.canonicalize().map_err(unreadable)?;
    if real.parent() != Some(&real_folder) {
        return Err(ModelError::OutsideBundle {
            path: manifest.to_owned(),
            field: format!("files.{name}"),
            name: name.to_owned(),
            reason: format!("is a link to {}", real.display()),
        });
    }
    Ok(path)
}

/// Reads a file whose size was already compared with its entry.
fn read(path: &Path, entry: &FileEntry, most: u64) -> Result<Vec<u8>> {
    if entry.bytes > most {
        let (path, found) = (path.to_owned(), entry.bytes);
        return Err(ModelError::TooLarge { path, found, most });
    }
    files::read(path, most)
        .map_err(|source| ModelError::BundleFile { path: path.to_owned(), source })
}

/// ONNX Runtime opens every file that a graph names, so a graph may name only files that the manifest lists as its
/// weights.
fn check_external_data(path: &Path, file: &str, bytes: &[u8], manifest: &Manifest) -> Result<()> {
    let locations = external_data::locations(bytes)
        .map_err(|reason| ModelError::NotAGraph { path: path.to_owned(), reason })?;
    for (graph, entry) in manifest.graphs.iter().filter(|(_, entry)| entry.file == file) {
        if let Some(location) = locations.iter().find(|name| !entry.data.contains(name)) {
            return Err(ModelError::Unlisted {
                path: path.to_owned(),
                graph: graph.to_owned(),
                location: location.clone(),
            });
        }
    }
    Ok(())
}

fn check_size(path: &Path, entry: &FileEntry) -> Result<()> {
    let metadata = std::fs::metadata(path)
        .map_err(|source| ModelError::BundleFile { path: path.to_owned(), source })?;
    if metadata.len() != entry.bytes {
        let (expected, found) = (entry.bytes, metadata.len());
        return Err(ModelError::Size { path: path.to_owned(), expected, found });
    }
    Ok(())
}

fn check_hash(path: &Path, entry: &FileEntry, found: &str) -> Result<()> {
    if found == entry.sha256 {
        return Ok(());
    }
    Err(ModelError::Changed {
        path: path.to_owned(),
        expected: entry.sha256.clone(),
        found: found.to_owned(),
    })
}
