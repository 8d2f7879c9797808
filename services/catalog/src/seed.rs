//! The songs of a first start, so that nobody meets an empty catalog.

use std::io::Cursor;

use anyhow::Context as _;
use platform::storage::Db;
use songs::import::{Batch, Records};

use crate::{
    meter::{self, Origin},
    store,
};

/// Invented by us: no such song, artist or album is known to exist.
const SONGS: &str = include_str!("../seed.csv");

/// Adds them to a catalog that is empty and never was given them. They are nobody's.
pub(crate) async fn plant(db: &Db) -> anyhow::Result<()> {
    let records = Records::open(Cursor::new(SONGS)).context("reading the first songs")?;
    let (_, batch) = Batch::read(records).context("reading the first songs")?;
    let mut tx = db.begin().await?;
    if !store::is_empty(&mut tx).await? || !store::reach(&mut tx, "seeded").await? {
        return Ok(());
    }
    let added = store::insert_missing(&mut tx, store::rows(&batch.songs), None).await?.len() as u64;
    tx.commit().await?;
    meter::created(Origin::Seed, added);
    tracing::info!("the catalog was empty: added {added} songs of our own invention");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_songs_are_valid_and_all_different() {
        let (_, batch) = Batch::read(Records::open(Cursor::new(SONGS)).unwrap()).unwrap();
        assert_eq!((batch.rows, batch.already, batch.refused.len()), (40, 0, 0));
        assert!(batch.last);
    }
}
