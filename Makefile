# Reeve: build, run, test, install. `make help` lists the targets.

SHELL       := /bin/bash
PREFIX      ?= /usr/local
DESTDIR     ?=
DOCKER      ?= docker
# Everything that outlives a clone: compiled dependencies, tools for tests, the guest's kernel.
REEVE_CACHE ?= $(HOME)/.cache/reeve
TARGET      := x86_64-unknown-linux-musl
export REEVE_CACHE
export CARGO_TARGET_DIR ?= $(REEVE_CACHE)/target
export REEVE_COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)

BIN        := $(CARGO_TARGET_DIR)/$(TARGET)
# Where the three binaries and the quick start's image are gathered.
DIST       := $(CARGO_TARGET_DIR)/dist
QUICKSTART := $(DIST)/quickstart.tar

.PHONY: help run test build check unit e2e vm bench conformance install image setup-build setup-test clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup-build:
	@scripts/setup build

setup-test: setup-build
	@scripts/setup test

build: setup-build ## Build the static binaries and the quick start's image into $(DIST)
	cargo build --locked --release -p reeve -p reeve-quickstart
	cargo build --locked --profile small -p reeve-runtime -p reeve-shim
	@install -d $(DIST)
	@install -m 0755 $(BIN)/release/reeve $(BIN)/small/reeve-runtime $(BIN)/small/reeve-shim $(DIST)/
	$(BIN)/release/reeve-quickstart-image $(BIN)/release/reeve-quickstart $(QUICKSTART)

run: build ## Run the agent on manifests/quickstart until Ctrl-C
	$(DIST)/reeve agent --manifests manifests/quickstart --import $(QUICKSTART) $(ARGS)

test: setup-test build check unit e2e vm ## Run all tests

check: ## Formatting, lints, licences, and the borders between the crates
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --log-level error check licenses bans sources
	cargo test --locked -p reeve-e2e --test repository

unit: ## Tests beside the code, and of each crate against the kernel (as root)
	cargo test --locked --workspace --exclude reeve-e2e

e2e: ## Tests of the whole against real peers
	REEVE_DIST=$(DIST) cargo test --locked -p reeve-e2e -- --test-threads 2

vm: ## The tests of the runtime and the whole again, in a guest with cgroup v2
	REEVE_DIST=$(DIST) e2e/vm/run-tests

bench: build ## Measure, beside the peers' figures (RUNS=50)
	REEVE_DIST=$(DIST) cargo run --locked --release -p reeve-e2e --bin bench -- $(ARGS)

install: build ## Put the binaries, the systemd unit, completions and man pages in place
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 0755 $(DIST)/reeve $(DIST)/reeve-runtime $(DIST)/reeve-shim $(DESTDIR)$(PREFIX)/bin/
	sed 's|@BINDIR@|$(PREFIX)/bin|' packaging/reeve.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/reeve.service
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(DIST)/reeve completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/reeve
	$(DIST)/reeve completions zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_reeve
	$(DIST)/reeve completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/reeve.fish
	$(DIST)/reeve man $(DESTDIR)$(PREFIX)/share/man/man1

image: build ## Build the container image with the three binaries on scratch (DOCKER=buildah works too)
	$(DOCKER) build -t reeve -f Dockerfile $(DIST)

clean: ## Remove this clone's build results (the cache's dependencies stay)
	cargo clean --workspace
	rm -rf $(DIST)
