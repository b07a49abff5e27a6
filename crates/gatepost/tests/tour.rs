//! The tour of `examples/every-code` shows all 22 codes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::path::Path;

use harness::{finish, program};

#[test]
fn the_tour_shows_22_of_22_codes() {
    let tour = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/every-code/tour.sh");
    let mut command = program("bash");
    command.arg(tour).args(["--listen", "127.0.0.1:0"]).env("GATEPOST", env!("CARGO_BIN_EXE_gatepost"));
    let printed = finish(&mut command, b"");
    assert!(printed.trim_end().ends_with("22 of 22 codes") && !printed.contains("DIFFERS"), "{printed}");
}
