# A facade over CMake, its presets and tools/: what people type. `make help` lists it.
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600
JOBS ?= $(shell nproc)
export JOBS FUZZ_SECONDS

.DEFAULT_GOAL := all
.PHONY: all release setup grammars demo test acceptance bench lint format fuzz install clean help

all: ## build the programs into build/release (the default)
	@tools/setup.sh --check build
	@$(MAKE) --no-print-directory release

release:
	@mkdir -p build && cmake --preset release >build/configure.log || { cat build/configure.log; exit 1; }
	@cmake --build --preset release --parallel $(JOBS)

setup: ## install the Debian packages for building, testing and linting (root or sudo)
	@tools/setup.sh build test lint

grammars: ## fetch and build what codebase_query parses with (tools/grammars.lock)
	@tools/grammars.sh

demo: ## from nothing to a repaired program: installs what is missing, builds, runs examples/repair
	@tools/setup.sh build
	@$(MAKE) --no-print-directory release
	@examples/repair/run.sh

test: ## everything that must pass before a change lands; STAGE="unit scenario" runs parts (tools/test.sh --list)
	@tools/test.sh $(STAGE)

acceptance: ## long campaigns in slices that resume; NAME="..." chooses (tools/acceptance.sh --list)
	@tools/acceptance.sh $(NAME)

bench: ## every bench/bench_* program and script against build/release
	@tools/setup.sh build
	@$(MAKE) --no-print-directory release
	@tools/bench.sh $(NAME)

lint: ## layers, headers alone, banned functions, text, formatting, clang-tidy
	@tools/test.sh checks tidy

format: ## rewrite all C files as clang-format decides
	@tools/check_format.sh --fix

fuzz: ## every fuzz target for FUZZ_SECONDS (600); NAME="fuzz_json" chooses
	@tools/setup.sh build test
	@tools/fuzz.sh $(NAME)

install: all ## install into PREFIX (/usr/local); DESTDIR is honoured
	cmake --install build/release --prefix $(PREFIX)

clean: ## remove everything built
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
