//! Memory that the C allocator of Linux keeps after it was freed. On other systems, nothing is changed.

use std::sync::{Mutex, PoisonError};

/// Free bytes at the end of the heap that stay with the process while a model runs.
const KEPT_WHILE_RUNNING: i32 = 512 << 20;
/// Free bytes at the end of the heap that stay with the process otherwise.
const KEPT_OTHERWISE: i32 = 4 << 20;
/// Blocks of so many bytes and more are mapped one by one, and leave no holes in the heap.
const MAPPED_FROM: i32 = 1 << 20;
/// Number of blocks that may be mapped one by one, which is the allocator's default.
const MOST_MAPPED: i32 = 65_536;

/// The number of [`ReuseFreedMemory`] that live.
static RUNNING: Mutex<usize> = Mutex::new(0);

/// While it lives, freed tensors stay in the heap for the next layer or token: mapping each block of tens of megabytes
/// anew makes the system clear its pages, which costs a sixth of the time of a question. When the last one is dropped,
/// the process returns its free memory.
#[derive(Debug)]
pub struct ReuseFreedMemory(());

impl ReuseFreedMemory {
    /// Starts now.
    pub fn start() -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        if *running == 1 {
            keep_in_heap();
        }
        Self(())
    }

    /// Starts now, until the process ends: for a program that does nothing but run a model.
    pub fn until_exit() {
        std::mem::forget(Self::start());
    }
}

impl Drop for ReuseFreedMemory {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        *running = running.saturating_sub(1);
        if *running == 0 {
            return_to_system();
        }
    }
}

/// Returns free memory to the system, now and whenever a large block is freed, unless a model runs.
pub fn return_freed_memory() {
    if *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) == 0 {
        return_to_system();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_in_heap() {
    // SAFETY: mallopt changes settings of the allocator and accesses no memory of ours.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_WHILE_RUNNING);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn return_to_system() {
    // SAFETY: as above; malloc_trim touches free blocks only.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, MOST_MAPPED);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_OTHERWISE);
        libc::malloc_trim(0);
    }
    // malloc_trim leaves the end of a heap of another thread than the main one; the next free of a block of some size
    // returns it.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(256 << 10)));
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn keep_in_heap() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn return_to_system() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::process::Command;

    /// Set in the child process: other tests of the same process allocate and run models.
    const ALONE: &str = "VLMSCOPE_TEST_ALONE";
    const NAME: &str = "job::freed_memory::tests::large_blocks_are_mapped_while_no_model_runs";
    const BLOCK: usize = 8 << 20;

    /// Bytes of blocks that are mapped one by one.
    fn mapped() -> usize {
        // SAFETY: mallinfo reads counters.
        let info = unsafe { libc::mallinfo() };
        usize::try_from(info.hblkhd).unwrap()
    }

    /// Resident bytes of the process that belong to no file.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Allocates, fills and frees a block of many megabytes; returns whether it was mapped by itself.
    fn maps_a_block() -> bool {
        let before = mapped();
        let block = black_box(vec![1_u8; BLOCK]);
        let is_mapped = mapped() >= before + BLOCK;
        drop(block);
        assert_eq!(mapped(), before);
        is_mapped
    }

    #[test]
    fn large_blocks_are_mapped_while_no_model_runs() {
        if std::env::var_os(ALONE).is_none() {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1");
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        return_freed_memory();
        let at_first = resident();
        assert!(maps_a_block());
        assert!(resident() < at_first + BLOCK / 4);
        let (first, second) = (ReuseFreedMemory::start(), ReuseFreedMemory::start());
        assert!(!maps_a_block());
        drop(first);
        return_freed_memory();
        assert!(resident() > at_first + BLOCK / 2, "a model still runs and takes the block again");
        drop(second);
        assert!(resident() < at_first + BLOCK / 4);
    }
}
