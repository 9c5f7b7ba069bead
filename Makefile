# kup: build, test and lab. `make help` lists the targets.

CACHE    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
TOOLS    := $(CACHE)/kup-lab/tools
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  := -s -w -X github.com/kup-project/kup/internal/cli.version=$(VERSION)
GOLANGCI := v2.15.0
VULN     := v1.9.0

NAME           ?= dev
CONTROL_PLANES ?= 3
WORKERS        ?= 2
KUBERNETES     ?= 1.33
SCENARIO       ?= hop

.DEFAULT_GOAL := help
.PHONY: help build test stories lint e2e e2e-all e2e-list demo demo-record crash-matrix catalog-verify lab-up lab-down lab-status lab-ssh bench bench-go clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## bin/kup
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/kup ./cmd/kup

bin/kup-lab: build
	CGO_ENABLED=0 go build -trimpath -o bin/kup-lab ./cmd/kup-lab

test: ## all tests that need no network, root or Docker
	go test -race ./...

STORIES := internal/lab/hollow

stories: ## whole runs and rollbacks of modelled clusters, some minutes: no network, root or Docker
	go test -tags stories -c -o bin/stories.test ./$(STORIES)
	@cd $(STORIES) && grep -lx '//go:build stories' *_test.go | xargs sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' | \
	  xargs -P 4 -I STORY sh -c 'said=$$("$$1" -test.v -test.timeout 30m -test.run "^STORY$$" 2>&1) && printf "%s\n" "$$said" | grep "^---" || { printf "%s\n" "$$said"; exit 1; }' sh $(CURDIR)/bin/stories.test

lint: $(TOOLS)/golangci-lint-$(GOLANGCI) ## gofmt, vet, golangci-lint (import law), govulncheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	go vet ./...
	go vet -tags stories ./internal/lab/...
	$(TOOLS)/golangci-lint-$(GOLANGCI) run ./...
	@.ci/vuln $(VULN)

$(TOOLS)/golangci-lint-$(GOLANGCI):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	mv $(TOOLS)/golangci-lint $@

e2e: bin/kup-lab ## one scenario on a real cluster: make e2e SCENARIO=hop
	bin/kup-lab e2e --kup bin/kup $(SCENARIO)

e2e-all: bin/kup-lab ## every scenario, one after the other
	bin/kup-lab e2e --kup bin/kup --all

e2e-list: bin/kup-lab ## the scenarios
	bin/kup-lab e2e --list

demo: ## a modelled 3 + 5 cluster goes from v1.31 to v1.34, disturbed on the way: Go only, no root, no container
	@began=$$(date +%s); $(MAKE) --no-print-directory -s bin/kup-lab && echo "built in $$(($$(date +%s) - began)) s"
	@bin/kup-lab demo

demo-record: bin/kup-lab ## the same, recorded to docs/demo.cast and drawn as docs/demo.svg
	bin/kup-lab record --cast docs/demo.cast --svg docs/demo.svg --title "kup apply --to v1.34" --width 120 --height 30 -- bin/kup-lab demo --pause 1500ms

crash-matrix: bin/kup-lab ## kup killed around every step of two hops of a modelled cluster and of rollbacks of every scope, and resumed
	bin/kup-lab crash-matrix

catalog-verify: bin/kup-lab ## the catalog's command lines against kubeadm of every minor, built from the Go module proxy
	bin/kup-lab catalog-verify

lab-up: bin/kup-lab ## a real kubeadm cluster: NAME= CONTROL_PLANES= WORKERS= KUBERNETES=
	bin/kup-lab up --name $(NAME) --control-planes $(CONTROL_PLANES) --workers $(WORKERS) --kubernetes $(KUBERNETES) $(LAB_FLAGS)

lab-down: bin/kup-lab ## remove it again
	bin/kup-lab down --name $(NAME)

lab-status: bin/kup-lab ## the labs and their nodes
	bin/kup-lab status

lab-ssh: bin/kup-lab ## a shell on a node: make lab-ssh NODE=cp-1
	bin/kup-lab ssh --name $(NAME) $(NODE)

bench: bin/kup-lab ## kup plan on 1,000 nodes and 50,000 pods of a real kube-apiserver and etcd, against its limits: BENCH_FLAGS=
	bin/kup-lab bench --kup bin/kup $(BENCH_FLAGS)

bench-go: ## speed and memory of the parts, as Go benchmarks
	go test -run '^$$' -bench . -benchmem ./pkg/... ./internal/planner/... ./internal/preflight/... ./internal/journal/... ./internal/stored/... ./internal/kube/...

clean:
	rm -rf bin
