# The three static binaries on an empty image; `make image` builds them first and hands over their folder. A node
# agent needs the host: run it privileged, in the host's PID and network namespaces, with /sys/fs/cgroup,
# /run/reeve, /var/lib/reeve and /var/log/pods mounted from it.
FROM scratch
COPY reeve reeve-runtime reeve-shim /usr/local/bin/
ENV PATH=/usr/local/bin
ENTRYPOINT ["/usr/local/bin/reeve"]
CMD ["agent", "--manifests", "/etc/reeve/manifests"]
