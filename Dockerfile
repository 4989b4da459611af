# One image for every service: `taskflow serve <service>`.
FROM swift:6.3-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends libpq-dev libhiredis-dev libcurl4-openssl-dev libargon2-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY Package.swift ./
COPY Shared Shared
COPY Services Services
COPY Tests Tests
RUN swift build -c release --product taskflow --static-swift-stdlib \
 && strip -o /taskflow "$(swift build -c release --static-swift-stdlib --show-bin-path)/taskflow"

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libargon2-1 libcurl4 libhiredis0.14 libpq5 tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10001 taskflow \
 && useradd --system --uid 10001 --gid taskflow --home-dir /var/lib/taskflow --shell /usr/sbin/nologin taskflow \
 && install -d -o taskflow -g taskflow -m 0755 /var/lib/taskflow \
 && install -d -o taskflow -g taskflow -m 0755 /var/lib/taskflow/media /var/lib/taskflow/mail /var/lib/taskflow/secrets
COPY --from=build /taskflow /usr/local/bin/taskflow
USER taskflow
WORKDIR /var/lib/taskflow
VOLUME ["/var/lib/taskflow/media", "/var/lib/taskflow/mail", "/var/lib/taskflow/secrets"]
ENTRYPOINT ["taskflow"]
CMD ["serve"]
