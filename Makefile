# Concord. `make help` lists the targets. Go, git and make are enough for everything but
# `race` (a C compiler), `.ci/run` (a Redis server) and `services` (Java, Maven, a Redis server).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One setting everywhere; only the race detector needs C.
export CGO_ENABLED := 0

GO          ?= go
BIN         := bin
MODULE      := github.com/concord-ats/concord
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS     := -s -w -X main.version=$(VERSION)
DEMO_FLAGS  ?=
TESTFLAGS   ?=
BENCH_FLAGS ?=
FUZZTIME    ?= 10s
RUN         ?= .
SEED        ?= 1
# Two tests at once, each on services of its own: they wait for longer than they compute.
E2E         := $(GO) test -tags e2e -count=1 -parallel 2 -v ./e2e
E2E_DONE    := $(BIN)/e2e-seeds-done
E2E_SEEDED  := ^Test(Population|Kills|BrokerRestarts|LeadersDie|NetworkFaults|RedisFaults|Outages)$$
NODES       ?= 1

# The packages that start goroutines; the pure ones gain nothing from the race detector.
RACE_DIRS := cmd/concord pkg/ats pkg/deadletter pkg/dedupe pkg/local pkg/ratelimit pkg/redislink pkg/store pkg/stream processors
# Whole demo runs are left to `test` and `run`: under the detector they take minutes and add no code path. The flood of the
# gateway measures memory, which the detector multiplies; a backlog, a storm and a blocked ATS are timed. All run in `test`.
RACE_SKIP := ^TestDemo|^TestSimulateTheDemo|^TestFlood|^TestABacklogUsesTheLimit|^TestFewRequestsRepeatInAStorm|^TestABlockedTenantSlowsNobody
RACE_PKGS := $(foreach d,$(RACE_DIRS),$(if $(wildcard $(d)),./$(d)/...))

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/concord
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/concord ./cmd/concord

.PHONY: run
run: build ## Build, then run the demo: published payloads in, confirmed ATS writes out, audited (DEMO_FLAGS=…)
	$(BIN)/concord demo $(DEMO_FLAGS)

.PHONY: test
test: ## Run every test (TESTFLAGS=… is passed to go test)
	$(GO) test $(TESTFLAGS) ./...

.PHONY: race
race: ## Run the tests of the concurrent packages under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -skip '$(RACE_SKIP)' $(TESTFLAGS) $(RACE_PKGS)

.PHONY: lint
lint: $(BIN)/golangci-lint ## Run the linters of .golangci.yml
	$(BIN)/golangci-lint run ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s) each
	@grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -r -n1 dirname | sort -u | while read -r dir; do \
	  grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | cut -d' ' -f2 | sort -u | while read -r target; do \
	    echo "== $$dir $$target"; \
	    $(GO) test "$$dir" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); \
	  done; \
	done

.PHONY: mutants
mutants: ## Apply each patch of testdata/mutants to a copy and require the tests it names to fail
	$(GO) run ./testdata/mutants

.PHONY: verify
verify: $(BIN)/gofumpt ## Regenerate, and fail on a difference, on go vet or on formatting
	@before=$$(git diff | git hash-object --stdin; git status --porcelain); \
	$(GO) generate ./...; \
	after=$$(git diff | git hash-object --stdin; git status --porcelain); \
	if [ "$$before" != "$$after" ]; then \
	  echo "verify: generated files are out of date; commit what 'go generate ./...' wrote:" >&2; \
	  diff <(echo "$$before") <(echo "$$after") >&2; exit 1; \
	fi
	$(GO) vet ./...
	$(GO) vet -tags e2e ./e2e/...
	@unformatted=$$($(BIN)/gofumpt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "verify: run gofumpt -w on:" >&2; echo "$$unformatted" >&2; exit 1; fi

# The long form runs what depends on a seed with twenty of them, each within 8 minutes, then everything once, larger. It
# remembers what it has done, and goes on where it was stopped.
.PHONY: e2e
e2e: ## Break real services under the real binary and audit it (RUN=TestKills, SEED=7; LONG=1: 20 seeds, resumable)
ifdef LONG
	@mkdir -p $(BIN); touch $(E2E_DONE)
	@for seed in $$(seq $(SEED) $$(($(SEED) + 19))); do \
	  if grep -qx "$$seed" $(E2E_DONE); then echo "== seed $$seed was clean before"; continue; fi; \
	  echo "== seed $$seed"; \
	  $(E2E) -timeout 8m -run '$(E2E_SEEDED)' -args -seed "$$seed"; \
	  echo "$$seed" >> $(E2E_DONE); \
	done
	$(E2E) -timeout 60m -args -seed $(SEED) -long
	@rm $(E2E_DONE)
else
	$(E2E) -timeout 40m -run '$(RUN)' -args -seed $(SEED)
endif

# The tools are modules of their own, so that they never move the product's versions.
$(BIN)/golangci-lint: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(BIN)/gofumpt: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$@ mvdan.cc/gofumpt

.PHONY: up
up: ## Build the image and start everything in containers (docker compose): http://127.0.0.1:3000 shows it
	VERSION='$(VERSION)' docker compose up --build --detach --wait

.PHONY: down
down: ## Stop the containers; their volumes stay
	docker compose down

.PHONY: services
services: ## Start Kafka (NODES=3 for three), a schema registry and Redis on loopback, without Docker; prints the environment
	@$(GO) run ./e2e/services start -nodes $(NODES)

.PHONY: services-stop
services-stop: ## Stop what `make services` started
	@$(GO) run ./e2e/services stop

# The figures are those of the whole machine: let nothing else run.
.PHONY: bench
bench: build ## Measure Concord on services started for it (BENCH_FLAGS=…)
	@env=$$($(GO) run ./e2e/services start -dir .services-bench); \
	trap '$(GO) run ./e2e/services stop -dir .services-bench' EXIT; \
	eval "$$env"; \
	$(BIN)/concord bench $(BENCH_FLAGS)
