//! From fragments to a film that every player can read: one `moov`, then one `mdat`.
//!
//! Fragments keep an unfinished recording playable, but slide programs, file managers and several
//! players show a fragmented film as 0 s long and cannot seek in it.

use mp4_atom::{
    Atom, Co64, Ctts, CttsEntry, Edts, Elst, ElstEntry, Encode, Ftyp, Header, Moof, Moov, ReadAtom,
    ReadFrom, Stco, Stsc, StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry, Traf, Trex,
};
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};

/// Bit of a sample's flags: it needs other samples to be decoded.
const IS_NO_SYNC_SAMPLE: u32 = 1 << 16;

/// Why a film cannot be rewritten.
#[derive(Debug, thiserror::Error)]
pub(super) enum RewriteError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its fragments are not what an encoder writes.
    #[error("{0}")]
    Format(String),
}

impl From<mp4_atom::Error> for RewriteError {
    fn from(error: mp4_atom::Error) -> Self {
        match error {
            mp4_atom::Error::Io(error) => Self::Io(error),
            other => Self::Format(other.to_string()),
        }
    }
}

fn format(reason: &str) -> RewriteError {
    RewriteError::Format(reason.into())
}

/// The index entry of one frame.
struct Sample {
    size_bytes: u32,
    /// Time from decoding to presentation, in ticks.
    composition_offset: i64,
    is_sync: bool,
}

/// Consecutive samples in the fragmented file.
struct Chunk {
    offset: u64,
    size_bytes: u64,
    samples: u32,
}

/// The fragments of a film with one track.
struct Fragments {
    moov: Moov,
    samples: Vec<Sample>,
    chunks: Vec<Chunk>,
}

/// Writes the fragmented film `from` to `to` as a progressive one. `fps` is its constant frame
/// rate. Frames are copied, not held in memory.
///
/// # Errors
/// If a file cannot be read or written, or `from` holds anything but fragments of one track.
pub(super) fn rewrite(from: &mut File, to: &File, fps: u32) -> Result<(), RewriteError> {
    let fragments = Fragments::read(from)?;
    let head = fragments.head(fps)?;
    let mut out = BufWriter::with_capacity(1 << 20, to);
    out.write_all(&head)?;
    for chunk in &fragments.chunks {
        from.seek(SeekFrom::Start(chunk.offset))?;
        let copied = io::copy(&mut (&mut *from).take(chunk.size_bytes), &mut out)?;
        if copied != chunk.size_bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    out.flush()?;
    Ok(())
}

impl Fragments {
    fn read(file: &mut File) -> Result<Self, RewriteError> {
        file.seek(SeekFrom::Start(0))?;
        let mut moov: Option<Moov> = None;
        let (mut samples, mut chunks) = (Vec::new(), Vec::new());
        loop {
            let start = file.stream_position()?;
            let Some(header) = Option::<Header>::read_from(file)? else { break };
            let body = file.stream_position()?;
            let size = header.size.ok_or_else(|| format("it has a box without a size"))? as u64;
            if header.kind == Moov::KIND {
                moov = Some(Moov::read_atom(&header, file)?);
            } else if header.kind == Moof::KIND {
                let moov =
                    moov.as_ref().ok_or_else(|| format("it has a fragment before its head"))?;
                let defaults = track_defaults(moov)?;
                for traf in &Moof::read_atom(&header, file)?.traf {
                    read_runs(traf, defaults, start, &mut samples, &mut chunks)?;
                }
            }
            file.seek(SeekFrom::Start(body + size))?;
        }
        let moov = moov.ok_or_else(|| format("it has no head"))?;
        if samples.is_empty() {
            return Err(format("it has no frames"));
        }
        Ok(Self { moov, samples, chunks })
    }

    /// All bytes before the frames: `ftyp`, `moov` and the header of `mdat`.
    fn head(&self, fps: u32) -> Result<Vec<u8>, RewriteError> {
        let brands = [b"isom", b"iso2", b"avc1", b"mp41"].map(Into::into).to_vec();
        let ftyp =
            Ftyp { major_brand: b"isom".into(), minor_version: 512, compatible_brands: brands };
        let size_bytes: u64 = self.chunks.iter().map(|chunk| chunk.size_bytes).sum();
        let mdat = Header { kind: b"mdat".into(), size: Some(size_bytes as usize) };
        let encode = |first_offset: u64, is_long: bool| -> Result<Vec<u8>, RewriteError> {
            let mut head = Vec::new();
            ftyp.encode(&mut head)?;
            self.indexed(fps, first_offset, is_long)?.encode(&mut head)?;
            mdat.encode(&mut head)?;
            Ok(head)
        };
        // The size of the index depends only on the width of its offsets.
        let short = encode(0, false)?;
        if short.len() as u64 + size_bytes <= u64::from(u32::MAX) {
            encode(short.len() as u64, false)
        } else {
            encode(encode(0, true)?.len() as u64, true)
        }
    }

    /// The `moov` with the index of all samples; the first sample is at `first_offset`.
    fn indexed(
        &self,
        fps: u32,
        first_offset: u64,
        has_long_offsets: bool,
    ) -> Result<Moov, RewriteError> {
        let mut moov = self.moov.clone();
        moov.mvex = None;
        let [track] = moov.trak.as_mut_slice() else {
            return Err(format("it does not have exactly one track"));
        };
        let timescale = track.mdia.mdhd.timescale;
        let ticks = timescale / fps.max(1);
        if ticks == 0 || timescale % fps.max(1) != 0 {
            return Err(format("its clock does not divide into its frames"));
        }
        let count = self.samples.len() as u32;
        let duration = u64::from(count) * u64::from(ticks);
        moov.mvhd.timescale = timescale;
        moov.mvhd.duration = duration;
        track.tkhd.duration = duration;
        track.mdia.mdhd.duration = duration;
        track.edts = self.edit_list(ticks, duration);

        let stbl = &mut track.mdia.minf.stbl;
        stbl.stts = Stts { entries: vec![SttsEntry { sample_count: count, sample_delta: ticks }] };
        stbl.ctts = self.composition_offsets();
        let is_sync =
            |(index, sample): (usize, &Sample)| sample.is_sync.then_some(index as u32 + 1);
        stbl.stss =
            Some(Stss { entries: self.samples.iter().enumerate().filter_map(is_sync).collect() });
        let sizes = self.samples.iter().map(|sample| sample.size_bytes).collect();
        stbl.stsz = Stsz { samples: StszSamples::Different { sizes } };
        stbl.stsc = self.samples_of_chunks();
        let offsets = self.chunks.iter().scan(first_offset, |next, chunk| {
            let offset = *next;
            *next += chunk.size_bytes;
            Some(offset)
        });
        (stbl.stco, stbl.co64) = if has_long_offsets {
            (None, Some(Co64 { entries: offsets.collect() }))
        } else {
            (Some(Stco { entries: offsets.map(|offset| offset as u32).collect() }), None)
        };
        Ok(moov)
    }

    /// If frames are stored in another order than they are shown, the first one is presented later than time 0: the
    /// edit list starts the film at that time.
    fn edit_list(&self, ticks: u32, duration: u64) -> Option<Edts> {
        let shown = self
            .samples
            .iter()
            .enumerate()
            .map(|(index, sample)| index as i64 * i64::from(ticks) + sample.composition_offset);
        let first = u64::try_from(shown.min()?).ok().filter(|&first| first > 0)?;
        let entry =
            ElstEntry { segment_duration: duration, media_time: Some(first), media_rate: 1.into() };
        Some(Edts { elst: Some(Elst { entries: vec![entry] }) })
    }

    fn composition_offsets(&self) -> Option<Ctts> {
        if self.samples.iter().all(|sample| sample.composition_offset == 0) {
            return None;
        }
        let mut entries: Vec<CttsEntry> = Vec::new();
        for sample in &self.samples {
            let sample_offset = sample.composition_offset;
            match entries.last_mut().filter(|last| last.sample_offset == sample_offset) {
                Some(last) => last.sample_count += 1,
                None => entries.push(CttsEntry { sample_count: 1, sample_offset }),
            }
        }
        Some(Ctts { entries })
    }

    /// Number of samples in each chunk, with an entry for every change of the number.
    fn samples_of_chunks(&self) -> Stsc {
        let mut entries: Vec<StscEntry> = Vec::new();
        for (index, chunk) in self.chunks.iter().enumerate() {
            if entries.last().is_none_or(|last| last.samples_per_chunk != chunk.samples) {
                entries.push(StscEntry {
                    first_chunk: index as u32 + 1,
                    samples_per_chunk: chunk.samples,
                    sample_description_index: 1,
                });
            }
        }
        Stsc { entries }
    }
}

/// Defaults for values that fragments omit.
fn track_defaults(moov: &Moov) -> Result<&Trex, RewriteError> {
    let trex = moov.mvex.as_ref().map_or(&[][..], |mvex| &mvex.trex);
    match trex {
        [only] => Ok(only),
        _ => Err(format("it does not have exactly one track")),
    }
}

/// The samples of a fragment; `moof` is the offset of its box.
fn read_runs(
    traf: &Traf,
    defaults: &Trex,
    moof: u64,
    samples: &mut Vec<Sample>,
    chunks: &mut Vec<Chunk>,
) -> Result<(), RewriteError> {
    let tfhd = &traf.tfhd;
    let base = tfhd.base_data_offset.unwrap_or(moof);
    // A run without an offset starts at the end of the previous one.
    let mut next: Option<u64> = None;
    for run in &traf.trun {
        let offset = match run.data_offset {
            Some(offset) => base.checked_add_signed(i64::from(offset)),
            None => next,
        };
        let offset =
            offset.ok_or_else(|| format("a fragment does not say where its frames are"))?;
        let first = samples.len();
        for entry in &run.samples {
            let size = entry.size.or(tfhd.default_sample_size);
            let flags = entry.flags.or(tfhd.default_sample_flags);
            samples.push(Sample {
                size_bytes: size.unwrap_or(defaults.default_sample_size),
                composition_offset: entry.cts.unwrap_or(0),
                is_sync: flags.unwrap_or(defaults.default_sample_flags) & IS_NO_SYNC_SAMPLE == 0,
            });
        }
        let size_bytes = samples[first..].iter().map(|sample| u64::from(sample.size_bytes)).sum();
        chunks.push(Chunk { offset, size_bytes, samples: (samples.len() - first) as u32 });
        next = Some(offset + size_bytes);
    }
    Ok(())
}
