# MusicWallet: one program for every service, see docker-compose.yml. `tests/real/image` runs the RUN lines of this file without an engine,
# and measures what the last stage adds to its base: 25 MB at most.

# What the dependencies depend on: the manifests, with an empty library or program for each. A change of the code leaves this as it was,
# so that the layer with the compiled dependencies is taken from the cache.
FROM rust:1.95.0-bookworm AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path '*/src/lib.rs' ! -path '*/src/main.rs' ! -path ./tests/real/lib.rs -delete
RUN find . -type f -name '*.rs' | xargs -n 1 sh -c 'echo "fn main() {}" >"$0"'
RUN find . -type d -empty -delete

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY --from=manifests /src .
RUN cargo build --locked --profile dist --package musicwallet
COPY . .
# Cargo goes by the times of files, and the empty ones are younger than these.
RUN find . -path ./target -prune -o -type f -exec touch {} +
RUN cargo build --locked --profile dist --package musicwallet
RUN install -d image/data && install -m 755 target/dist/musicwallet image/musicwallet

# glibc, libgcc, certificates and time zones; no shell. Its user `nonroot` is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/image/musicwallet /musicwallet
# All that it keeps is below ./data; a new volume gets owner and mode of the folder that it covers. An import is in /tmp while it lasts: where
# the root is read-only, catalog and wallet need a tmpfs there.
COPY --from=build --chown=65532:65532 /src/image/data /data
WORKDIR /
USER 65532:65532
# It needs no shell. Where a container is one service of several, docker-compose.yml says which.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/musicwallet", "health"]
ENTRYPOINT ["/musicwallet"]
