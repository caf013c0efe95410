# The three static binaries on an empty image. A node agent needs the host: run it privileged, in the
# host's PID and network namespaces, with /sys/fs/cgroup, /run/reeve and /var/lib/reeve mounted.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN scripts/setup build \
 && cargo build --locked --release -p reeve \
 && cargo build --locked --profile small -p reeve-runtime -p reeve-shim \
 && mkdir -p /out/usr/local/bin /out/var/lib/reeve /out/run /out/tmp \
 && cp target/x86_64-unknown-linux-musl/release/reeve /out/usr/local/bin/ \
 && cp target/x86_64-unknown-linux-musl/small/reeve-runtime target/x86_64-unknown-linux-musl/small/reeve-shim /out/usr/local/bin/

FROM scratch
COPY --from=build /out /
ENV PATH=/usr/local/bin
ENTRYPOINT ["/usr/local/bin/reeve"]
CMD ["agent", "--manifests", "/etc/reeve/manifests"]
