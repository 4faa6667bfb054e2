# What a contributor types. A recipe decides nothing: what needs an `if` is a script or Rust.
#
# Build products go beside other caches, outside the checkout. MIRASTACK_TARGET_DIR (or cargo's own CARGO_TARGET_DIR)
# puts them elsewhere, MIRASTACK_CACHE moves the whole folder. A plain `cargo build` uses ./target as everywhere.

CACHE := $(or $(MIRASTACK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mirastack)
export CARGO_TARGET_DIR ?= $(or $(MIRASTACK_TARGET_DIR),$(CACHE)/target)

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

SEEDS ?= 2000
FROM ?= 0
BLOWS ?= 500
CUTS ?= 100
SEED ?= 2
OPERATIONS ?= 100000
SECONDS ?= 5
ONLY ?=
ONCE ?=
DEFECT ?=
RUNS ?= 1000000
ARGS ?=

# A server that does not wait for its disk must lose something when the power is cut.
WITHOUT_SYNC := scripts/without-sync cargo test --locked --workspace --test chaos -- without_sync --nocapture

.DEFAULT_GOAL := help
.PHONY: help build test check lint fmt clippy doc deny deny-advisories servers demo cluster twin sim planted fuzz fuzz-keep fuzz-planted chaos powercuts siege schemathesis loadtest gate

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

build: ## the programs, as the tests use them (for use: cargo build --release)
	cargo build --locked --workspace --bins

test: servers build ## every test, those against the real Prometheus and Alertmanager included
	cargo test --locked --workspace
	SEEDS=2000 scripts/sim every_seed --nocapture
	scripts/sim --nocapture --skip every_seed
	scripts/fuzz planted
	MIRASTACK_CHAOS=1 $(WITHOUT_SYNC)

planted: ## the planted defects, and the invariant of the simulation that catches each (DEFECT=name: one)
	DEFECT=$(DEFECT) scripts/sim planted --nocapture

check: lint test ## what a change must pass: lint and test

lint: fmt clippy doc deny ## formatting, clippy, documentation, licences and versions of what we build from

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

deny: $(CARGO_DENY)
	$(CARGO_DENY) --locked check licenses bans sources

deny-advisories: $(CARGO_DENY) ## known vulnerabilities in what we build from (fetches the database from its git host)
	$(CARGO_DENY) --locked check advisories

# A debug build: it is ready in half the time, and checks our few hundred crates in a second.
$(CARGO_DENY):
	CARGO_TARGET_DIR=$(CACHE)/cargo-deny-build cargo install --quiet --locked --debug --root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION) \
		--version $(CARGO_DENY_VERSION) cargo-deny
	rm -rf $(CACHE)/cargo-deny-build

servers: ## makes sure of Prometheus, Alertmanager and what tests need besides: on PATH, else from Debian
	@scripts/servers

demo: build ## a real alert becomes an approved silence, before your eyes (ARGS=--yes, DEMO_HOLD=1)
	@scripts/servers demo
	@cargo run --locked --quiet --package mirastack-tests --bin demo -- $(ARGS)

cluster: build ## the same on NATS, Kine and Valkey, two of each role (ARGS=--yes, CLUSTER_HOLD=1: stays up, a line "role pid address" each)
	@scripts/servers
	@cargo run --locked --quiet --package mirastack-tests --bin demo -- --cluster $(ARGS)

twin: servers ## one generator drives both backends, and their answers are compared (OPERATIONS=100000, SEED=2)
	OPERATIONS=$(OPERATIONS) SEED=$(SEED) cargo test --locked --workspace --test cluster -- twin --nocapture

sim: ## the deterministic simulation on an optimised build, SEEDS=2000 of them, the first FROM=0, each twice (ONCE=1: once)
	SEEDS=$(SEEDS) FROM=$(FROM) ONCE=$(ONCE) scripts/sim every_seed --nocapture

fuzz: ## RUNS=1000000 inputs for each reader of things from outside (TARGET=name: one; tests/fuzz/corpus lists them)
	scripts/fuzz run "$(TARGET)" $(RUNS)

fuzz-keep: ## takes over into tests/fuzz/corpus what `make fuzz` found (TARGET=name: one)
	scripts/fuzz keep "$(TARGET)"

fuzz-planted: ## the panics that are planted for the targets of `make fuzz`, and whether each is found (TARGET=name: one)
	scripts/fuzz planted "$(TARGET)"

chaos: servers build ## BLOWS=500 kills and stops of the server, of plugins and of both, around real work
	MIRASTACK_CHAOS=$(BLOWS) cargo test --locked --workspace --test chaos -- signals --nocapture

powercuts: servers build ## CUTS=100 cuts of the power around real work, a full disk again and again, and cuts without sync, which must lose
	MIRASTACK_CHAOS=$(CUTS) cargo test --locked --workspace --test chaos -- power_cuts --nocapture
	cargo test --locked --workspace --test chaos -- full_disks --nocapture
	$(WITHOUT_SYNC)

siege: build ## every kind of bad input on 50 connections, SECONDS=5 each (ONLY=yaml: those cases)
	MIRASTACK_SIEGE_SECONDS=$(SECONDS) MIRASTACK_SIEGE_ONLY=$(ONLY) cargo test --locked --workspace --test siege -- --nocapture --test-threads=1

schemathesis: build ## requests made from the description of the API, 2,000 and more (SEED=2)
	MIRASTACK_SCHEMATHESIS_SEED=$(SEED) cargo test --locked --workspace --test schemathesis -- --nocapture

loadtest: ## throughput and latency over HTTP, on an optimised build (ARGS=--help)
	cargo build --locked --release --workspace --bins
	$(CARGO_TARGET_DIR)/release/loadtest $(ARGS)

gate: ## the product against a bare server, in one run: fails where it is too far from it (ARGS=--help)
	cargo build --locked --release --workspace --bins
	$(CARGO_TARGET_DIR)/release/loadtest gate --dev $(CARGO_TARGET_DIR)/release/mirastack $(ARGS)
