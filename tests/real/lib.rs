//! Nothing to build here: see `tests/`.
