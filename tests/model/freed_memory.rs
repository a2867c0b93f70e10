//! Memory that was freed goes back to the system while no model runs.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::hint::black_box;
use std::process::Command;
use vlmscope::job::{ReuseFreedMemory, return_freed_memory};

/// Set in the child process: other tests of the same process allocate and run models.
const ALONE: &str = "VLMSCOPE_TEST_ALONE";
const NAME: &str = "freed_memory::large_blocks_are_mapped_while_no_model_runs";
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
