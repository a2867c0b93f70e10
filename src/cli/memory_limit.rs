//! The program's allocator: the system's, with a limit that a process can set for itself.
//!
//! Operating systems limit a process's memory in different ways, or (macOS) not at all; this limit is the same
//! everywhere. Without a limit, an allocation costs one more load of a constant.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

#[global_allocator]
static ALLOCATOR: Limited = Limited;

static IS_SET: AtomicBool = AtomicBool::new(false);
static LEFT_BYTES: AtomicIsize = AtomicIsize::new(0);

struct Limited;

/// Allows the process to allocate so many more bytes from now on; the allocation that exceeds them fails, which ends
/// the process.
pub(super) fn set(bytes: usize) {
    LEFT_BYTES.store(isize::try_from(bytes).unwrap_or(isize::MAX), Ordering::SeqCst);
    IS_SET.store(true, Ordering::SeqCst);
}

fn take(bytes: usize) -> bool {
    if !IS_SET.load(Ordering::Relaxed) {
        return true;
    }
    // Layouts are at most isize::MAX bytes.
    let bytes = bytes as isize;
    if LEFT_BYTES.fetch_sub(bytes, Ordering::Relaxed) >= bytes {
        return true;
    }
    LEFT_BYTES.fetch_add(bytes, Ordering::Relaxed);
    false
}

fn give_back(bytes: usize) {
    if IS_SET.load(Ordering::Relaxed) {
        LEFT_BYTES.fetch_add(bytes as isize, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator with the arguments that were given, or returns
// null, which means that there is no memory.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: as above; all memory comes from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let more = size.saturating_sub(layout.size());
        if !take(more) {
            return std::ptr::null_mut();
        }
        give_back(layout.size().saturating_sub(size));
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}
