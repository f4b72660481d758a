# Mailmirror: `make help` lists what can be done here.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# One thing after the other: each uses all processors, and the headings tell what is going on.
.NOTPARALLEL:

CARGO ?= cargo
CLUSTER := e2e/cluster/cluster
DENY = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mailmirror/tools/cargo-deny-$(shell sed -n 's/^DENY_VERSION=//p' .ci/deps)/bin/cargo-deny
# More arguments of the story that `demo` and `test` play.
STORY_ARGS ?=

# Everything is compiled as one selection of packages, with the features that their tests ask for, so that no
# dependency is compiled twice: cargo chooses features by what is selected.
PROGRAMS = $(or $(CARGO_TARGET_DIR),target)/debug
BUILD = $(CARGO) build --workspace --bins --tests --locked --quiet
TEST = $(CARGO) test --workspace --locked
PROCESS_TESTS = $(addprefix --test ,$(basename $(notdir $(wildcard e2e/tests/*.rs))))

##@ See it

.PHONY: demo demo-down pair
demo: ## A local two-node Kubernetes, the image, the chart, and the story with real mail (KUBECONFIG=... IMAGE=... for another cluster)
	@.ci/deps --compiler
	e2e/on-cluster story $(STORY_ARGS)

demo-down: ## Remove all that `demo` made: the local cluster, or on another one (KUBECONFIG=... IMAGE=...) release and pair
	if [ -n "$${KUBECONFIG:-}" ] && [ -n "$${IMAGE:-}" ]; then e2e/on-cluster story --remove; else $(CLUSTER) down; fi

pair: ## Two nodes as two processes on loopback: no Kubernetes, no root; Ctrl-C ends it
	@.ci/deps --compiler
	$(BUILD)
	$(PROGRAMS)/pair

##@ Prove it

.PHONY: test check
test: check test-integration test-process test-cluster ## Everything: check, integration and process tests, chart and story on a real Kubernetes

check: deps fmt-check clippy test-unit drift shellcheck deny ## The inner loop: format, lints, unit and model tests, generated files, shell scripts, licences

.PHONY: fmt fmt-check clippy doc test-unit test-integration test-process test-cluster shellcheck deny drift bench
fmt: ## Format the Rust code
	$(CARGO) fmt --all

fmt-check:
	@echo "== format =="
	$(CARGO) fmt --all --check

clippy: ## Lints of the whole workspace, warnings are errors
	@echo "== lints =="
	$(CARGO) clippy --workspace --all-targets --locked --quiet -- -D warnings

doc: ## The documentation of the crates, warnings are errors
	@echo "== documentation =="
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked --quiet --document-private-items

test-unit: ## Unit and model tests
	@echo "== unit and model tests =="
	$(TEST) --quiet --lib --bins
	$(TEST) --quiet --exclude mailmirror-e2e --doc

test-integration: ## Rooms put together: two engines and a cable, cases of replication, the operator and an API in memory
	@echo "== integration tests =="
	$(TEST) --quiet --exclude mailmirror-e2e --test '*'

test-process: ## Two real mail servers, real sockets: killed, cut apart, compared
	@echo "== process tests =="
	$(BUILD)
	$(TEST) $(PROCESS_TESTS)

test-cluster: ## On a real Kubernetes: the chart, and the story of `make demo` with its times asserted
	@echo "== chart and story on Kubernetes =="
	e2e/on-cluster --down charts/test -- story --assert $(STORY_ARGS)

shellcheck:
	@echo "== shell scripts =="
	git grep -lzI -e '^#!.*bash' -e '^# shellcheck shell=bash' -- . ':!*.md' | xargs -0r shellcheck -x

deny: ## Licences, banned crates, sources of all dependencies
	@echo "== dependencies =="
	$(DENY) --log-level error check bans licenses sources

bench: ## Delivery rates and lag of the mail server, beside what the same disk can do
	@.ci/deps --compiler
	image/build --binaries
	"$$(image/build --print-dir)/bench" $(BENCH_ARGS)

##@ Make it

.PHONY: deps image generate
deps: ## Install what `check` needs (named first): a C compiler, shellcheck, rustfmt, clippy, cargo-deny
	@.ci/deps

image: ## The image as target/image/mailmirror.tar, built without a registry; its name in target/image/name
	@.ci/deps --compiler
	image/build

generate: ## Write the generated files: crds/, the chart's CRD, rights and table of values, deploy/, docs/rules.md, the reasons
	charts/generate
	$(PROGRAMS)/rules --write

drift:
	@echo "== generated files =="
	charts/generate --check
	$(PROGRAMS)/rules --check
	charts/check-metrics

##@ The local cluster (e2e/cluster)

.PHONY: cluster-deps cluster-build cluster-up cluster-down cluster-status cluster-logs cluster-selftest
cluster-deps: ## Install what the local cluster needs from Debian (named first)
	$(CLUSTER) deps

cluster-build: ## Compile the cluster's programs into the user's cache (10 minutes from nothing)
	$(CLUSTER) build

cluster-up: ## Bring the local cluster up
	$(CLUSTER) up

cluster-down: ## Take it down
	$(CLUSTER) down

cluster-status: ## What runs, and how it is
	$(CLUSTER) status

cluster-logs: ## The names of the logs; NAME=... shows one
	$(CLUSTER) logs $(NAME)

cluster-selftest: ## Prove that the local cluster does what the tests rely on
	e2e/cluster/selftest

##@ Other

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
