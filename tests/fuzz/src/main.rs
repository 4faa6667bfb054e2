//! The engine of `make fuzz`: libFuzzer makes inputs for the one target that `MIRASTACK_FUZZ_TARGET` names.
//!
//! All targets are one program, because linking one is what takes long. The planted panics are in it, and only where
//! `MIRASTACK_FUZZ_PLANTED` is set that of the target is in force. What it is told stands in `scripts/fuzz`.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target, fuzzer_mutate};
use mirastack_fuzz::{TARGETS, Target, mutate};

/// The target that this process is for.
static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(init: begin(), |data: &[u8]| run(data));
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    changed(data, size, max_size, seed)
});
fuzz_crossover!(|data1: &[u8], data2: &[u8], out: &mut [u8], seed: u32| {
    let made = mutate::joined(data1, data2, out.len(), seed).unwrap_or_default();
    out[..made.len()].copy_from_slice(&made);
    made.len()
});

fn begin() {
    let named = std::env::var("MIRASTACK_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == named) else {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("there is no target `{named}`: {}", known.join(", "));
        std::process::exit(2);
    };
    if std::env::var_os("MIRASTACK_FUZZ_PLANTED").is_some() {
        plant(target.name);
    }
    TARGET.get_or_init(|| target);
}

fn run(data: &[u8]) {
    let target = TARGET.get().expect("libFuzzer begins with `begin`");
    (target.body)(data);
}

/// Changes the input in `data`, of so many bytes, and says how many there are then: every other time, where that can be,
/// so that it stays in its form.
fn changed(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let made = match seed % 4 {
        0 => mutate::json(&data[..size], max_size, seed / 4),
        1 => mutate::pieces(&data[..size], max_size, seed / 4),
        _ => None,
    };
    if let Some(made) = made {
        data[..made.len()].copy_from_slice(&made);
        return made.len();
    }
    fuzzer_mutate(data, size, max_size)
}

/// Puts the panic that is planted for a target in force.
#[cfg(planted)]
fn plant(target: &str) {
    engine::planted::plant(Some(format!("fuzz_{target}").leak()));
    // It does not know the engine.
    proto::PLANTED.store(target == "message", std::sync::atomic::Ordering::Relaxed);
}

#[cfg(not(planted))]
fn plant(target: &str) {
    eprintln!("nothing is planted for {target} in this build: scripts/fuzz makes another one");
    std::process::exit(2);
}
