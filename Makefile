# Everything a person does with this repository. `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

VEDETTE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vedette
CARGO_TARGET_DIR ?= $(VEDETTE_CACHE)/target

export CARGO_TARGET_DIR
# Only the scripts in tools/ are told: to our programs every VEDETTE_ variable is a setting. The
# demo gets its seconds as a flag.
unexport VEDETTE_CACHE DEMO_SECONDS SECONDS TARGET INPUT SEED SEEDS FROM MUTANT
with_cache = VEDETTE_CACHE="$(VEDETTE_CACHE)"

# Each recipe asks for the environment when it runs, because `setup` may just have changed it.
in_env = environment="$$($(with_cache) tools/env.sh)"; eval "$$environment";
step = tools/step.sh

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what is missing to build and test, and nothing else
	@$(with_cache) tools/setup.sh test

# What a build needs, without what only tests need.
.PHONY: setup-build
setup-build:
	@$(with_cache) tools/setup.sh build

.PHONY: env
env: ## Print the environment for a shell of your own: eval "$(make -s env)"
	@$(with_cache) tools/setup.sh build
	@$(with_cache) tools/env.sh

.PHONY: build
build: setup-build ## Build the programs for development
	@$(in_env) cargo build --locked

.PHONY: fmt
fmt: ## Format all Rust code
	@$(in_env) cargo fmt --all

.PHONY: lint
lint: setup ## Check format, lints, documentation links and (with cargo-deny) dependencies
	@$(in_env) $(step) format cargo fmt --all --check
	@$(in_env) $(step) clippy cargo clippy --workspace --all-targets --locked -- -D warnings
	@$(in_env) RUSTDOCFLAGS="-D warnings" $(step) docs \
		cargo doc --workspace --no-deps --locked --quiet
	@$(in_env) $(step) fuzz-targets \
		cargo clippy --manifest-path fuzz/Cargo.toml --all-targets --locked -- -D warnings
	@$(in_env) if command -v cargo-deny >/dev/null; then \
		$(step) dependencies cargo deny --locked check bans licenses sources; \
	else \
		echo "cargo-deny is not installed: dependencies are not checked against deny.toml"; \
	fi

.PHONY: test
test: lint ## Check everything: lints, then all tests and the examples in the documentation
	@$(in_env) $(step) programs cargo build --workspace --bins --locked
	@$(in_env) $(step) tests cargo test --workspace --locked

.PHONY: sim
sim: setup-build ## Simulate SEEDS (50) FROM (1) on, or one SEED with its trace, with a MUTANT or none
	@$(in_env) cargo run --locked --quiet -p sim -- $(if $(MUTANT),--mutant $(MUTANT)) \
		$(if $(SEED),--seed $(SEED) --trace,--seeds $(or $(SEEDS),50) --from $(or $(FROM),1))

.PHONY: fuzz
fuzz: setup-build ## Run each fuzz target for SECONDS (60), or one TARGET, or that on one INPUT
	@$(in_env) $(with_cache) fuzz/run.sh --seconds $(or $(SECONDS),60) \
		$(if $(TARGET),--target $(TARGET)) $(if $(INPUT),--input $(INPUT))

.PHONY: bench
bench: setup ## Run the benches, and the agent beside node_exporter; BENCH picks by name
	@$(in_env) cargo bench -p benches --locked -- $(BENCH)
	@$(in_env) cargo build --release --locked -p agent
	@$(in_env) $(if $(BENCH),true,cargo run --release --locked -p benches --bin bench-agent -- --seconds 60)

.PHONY: bench-flood
bench-flood: setup-build ## One agent that says a hundred times as much, and fifty beside it
	@$(in_env) cargo build --release --locked -p agent -p coordinator && \
	cargo run --release --locked -p process-tests --example flood

.PHONY: bench-alert
bench-alert: setup-build ## From a sample to a call, beside Prometheus and Alertmanager where they are on the PATH
	@$(in_env) cargo build --release --locked -p agent -p coordinator -p cli && \
	cargo run --release --locked -p process-tests --example alert

.PHONY: bench-peers
bench-peers: setup-build ## The coordinator beside VictoriaMetrics and Prometheus, one load, one page
	@$(in_env) cargo build --profile dist --locked -p coordinator
	@$(in_env) $(with_cache) tools/bench-peers.sh

.PHONY: bench-rules
bench-rules: setup-build ## What ten thousand rules cost over a load of the bench kit; LOAD names one
	@$(in_env) cargo build --release --locked -p coordinator
	@$(in_env) $(with_cache) tools/bench-rules.sh

.PHONY: demo
demo: setup-build ## Run a whole fleet on this machine, until Ctrl-C or for DEMO_SECONDS
	@$(in_env) cargo build --release --locked
	@"$(CARGO_TARGET_DIR)/release/vedette" demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

.PHONY: dist
dist: setup-build ## Build the programs as they are shipped
	@$(in_env) VEDETTE_BUILD_REVISION="$$(git describe --always --dirty)" \
		cargo build --profile dist --locked
	@cd "$(CARGO_TARGET_DIR)/dist" && pwd && \
		ls -l vedette vedette-agent vedette-coordinator vedette-fleet

.PHONY: clean-cache
clean-cache: ## Delete builds and tools in the cache, RocksDB (16 minutes) among them
	cd "$(VEDETTE_CACHE)" && rm -rf target venv tools rocksdb setup.lock
