# Everything a person or CI does with the project. `make` alone prints what there is.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

support := tests/support
KAFKA_DIR ?= .kafka

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo 'make demo takes MODEL=path.gguf, or ENDPOINT=http://... MODEL_NAME=..., and LOG=kafka.'

.PHONY: demo
demo: ## documents in, samples out, with a small language model on this machine
	@$(support)/demo.sh

.PHONY: test
test: ## all tests, with a real broker and a real model; installs what is missing
	@$(support)/setup.sh build kafka model deploy export
	@$(support)/test.sh

.PHONY: lint
lint: ## format, clippy and documentation, warnings are errors
	@$(support)/setup.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run $$(git ls-files '*.sh'); fi

.PHONY: chaos
chaos: ## the fault suite: SEEDS=0..200; three brokers, killed processes, cut links; results in target/chaos.jsonl, resumable
	@$(support)/setup.sh build kafka
	@mkdir -p target
	CHAOS_SEEDS="$${SEEDS:-0..200}" CHAOS_RESULTS="$(CURDIR)/target/chaos.jsonl" CHAOS_MINUTES=100000 \
		cargo test --locked --test chaos -- --nocapture

.PHONY: bench
bench: ## the graph's, the filters' and the pipeline's figures
	cargo bench --locked --package synthllm-operators --bench graph
	cargo bench --locked --package synthllm-operators --bench quality
	cargo bench --locked --package synthllm-llm --bench calls
	cargo bench --locked --package synthllm --bench pipeline
	cargo bench --locked --package synthllm --bench scale

.PHONY: kafka-up
kafka-up: ## start an Apache Kafka broker on this machine, its data in .kafka
	@$(support)/setup.sh kafka
	@$(support)/kafka/kafka.sh start "$(KAFKA_DIR)"

.PHONY: kafka-down
kafka-down: ## stop it and remove its data
	@$(support)/kafka/kafka.sh remove "$(KAFKA_DIR)"
