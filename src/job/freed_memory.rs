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
