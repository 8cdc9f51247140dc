# Thin on purpose: each target is a command or two that can be typed as well.
CARGO ?= cargo
E2E := --features e2e

.DEFAULT_GOAL := help
.PHONY: help tools demo test soak bench lint fmt

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: ## Build the real programs for tests and demo, once per version (needs Go)
	@sh tools/install.sh

demo: tools ## Show it: a real control plane, a Git repository, a Helmfile; DEMO_KEEP=1 leaves it up
	@$(CARGO) build --quiet $(E2E) --bin helmfile-operator --example demo
	@target/debug/examples/demo

test: tools lint ## Prove it: lints, unit tests, the binary, end to end on the real control plane
	$(CARGO) test $(E2E) --lib --test it --test e2e

soak: tools ## Kill operators at twenty random moments; SOAK_SEED=n repeats a run
	$(CARGO) test $(E2E) --test e2e -- --ignored --nocapture soak

bench: tools ## Measure it: a table, and target/bench/results.json; BENCH="settle 250" is a part of it, smaller
	$(CARGO) bench $(E2E) --bench bench -- $(BENCH)

lint: ## Formatting and clippy
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets $(E2E) -- --deny warnings

fmt: ## Format the code
	$(CARGO) fmt
