//! Identity: written by its own builder.
