# The image of callmeter: one stage builds it; the other holds only the binary and its settings.

FROM rust:1.95-bookworm AS build
# Debian keeps one version of each package in a release: nothing to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libssl-dev make pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /callmeter
COPY . .
# The caches outlive the stage, so that a change to callmeter does not rebuild every dependency.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/callmeter/target \
    cargo build --release --locked --bin callmeter \
    && cp target/release/callmeter /usr/local/bin/callmeter

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --uid 10001 callmeter
COPY --from=build /usr/local/bin/callmeter /usr/local/bin/callmeter
COPY config /etc/callmeter/config
WORKDIR /etc/callmeter
USER 10001
ENV CALLMETER__HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8080/readyz/api"]
ENTRYPOINT ["callmeter"]
CMD ["serve"]
