//! Our Jaeger API beside Jaeger's own fixtures, and beside the real Jaeger: the same spans give the same answers.
