//! Writes `docs/telemetry.md` from `observability/schema`: `cargo run -p real --example telemetry`.

use std::{fs, path::Path};

use anyhow::Result;
use real::schema::Schema;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::write(root.join("docs/telemetry.md"), Schema::read(&root)?.document())?;
    Ok(())
}
