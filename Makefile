# Every target says what it needs and gets it: Go 1.26, git and make are enough.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build test e2e faults matrix bench bench-traits bench-netns bench-openapi e2e-openapi e2e-nginx bench-sources bench-delivery accuracy browser fuzz lint fmt golden rules dashboards demo tools clean

BIN   := bin
CACHE := .cache/bin
GOSRC := $(shell find . -name '*.go' -not -path './.*' -not -path './tools/*') go.mod go.sum
ARGS  ?=
FLIPS ?= 5000
FUZZTIME ?= 30s
FUZZ ?= .
# tests of one goroutine's arithmetic, built without the race detector only
WHOLE := EveryExpression|Whole|EveryTransition|EveryPathEnds|NoMoreThanTheCap|NoHistory|Onset|PagesAreAlertmanagers

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(BIN)/tocsin $(BIN)/tocsin-lab $(BIN)/netns_exporter $(BIN)/openapi_exporter ## build bin/tocsin, bin/tocsin-lab and the exporters

$(BIN)/%: $(GOSRC)
	@echo "building $@ (the first build compiles the Prometheus and Thanos client libraries: about 3 minutes on 2 cores)"
	@mkdir -p $(BIN)
	go build -trimpath -ldflags "-s -w -X main.version=$$(git describe --tags --always --dirty 2>/dev/null || echo dev)" -o $@ ./cmd/$*

test: ## run all unit tests and stories, with the race detector
	@echo "testing (about 7 minutes on 2 cores; the first run compiles everything with the race detector before)"
	go vet ./...
	TMPDIR=$$(tools/scratch) go test -race -count=1 -timeout 20m -p 4 -parallel 6 ./...
	TMPDIR=$$(tools/scratch) go test -count=1 -run '$(WHOLE)' ./lab/expressions ./enrich ./enrich/changes ./enrich/traits ./remediate ./rules/replay

demo: build ## a bad deploy strikes in a world in a box; ARGS=--once, ARGS=--thanos
	$(BIN)/tocsin-lab demo $(ARGS)

e2e: build tools ## every fault on real Prometheus x2, Thanos, Alertmanager x2; playbooks that repair; a web API that fails; as root also a throttled and a lossy container; two scenes at a time
	@$(MAKE) --no-print-directory -j2 scene-e2e scene-repair scene-matrix scene-openapi scene-nginx scene-nodes

# A scene mostly waits, for scrapes and for what must stay well a while; each line says whose it is.
scene-e2e: scene = $(BIN)/tocsin-lab e2e $(ARGS)
scene-repair: scene = $(BIN)/tocsin-lab repair $(REPAIR_ARGS)
scene-matrix: scene = $(BIN)/tocsin-lab matrix --only bad-deploy --only target-down --warm 45s --stagger 20s --patience 100s --bar 80
scene-openapi: scene = $(BIN)/tocsin-lab openapi
scene-nodes: scene = $(BIN)/tocsin-lab nodes
scene-nginx: scene = if program=$$(tools/nginx); then $(nginx-logs); else echo "NO NGINX: none is here and none can be had; its logs were not read"; fi
scene-%:
	@{ $(scene); } 2>&1 | sed -u 's/^/$*: /'

matrix: build ## every fault x the catalogue of alert expressions on real Prometheus and Thanos; ARGS="--only bad-host"
	$(BIN)/tocsin-lab matrix $(ARGS)

faults: build ## death at every point, lost writes, sick disks, moved clocks, a hurt etcd; FULL=1 for 200 seeds, SEED=n for one, FAULTS=-short
	go test -count=1 -timeout 10m -run Fault -v ./notify ./notify/slack ./notify/pagerduty ./notify/alertmanager ./web ./app
	go test -count=1 -timeout 10m -tags faults -run Fault -v ./store/etcd
	tools/with-strace go test -count=1 -timeout $(if $(FULL),8h,30m) -parallel 6 -tags faults -run Fault -v $(FAULTS) ./cmd/tocsin
	FLIPS=$(if $(FULL),50000,$(FLIPS)) go test -count=1 -timeout 60m -run 'Flipped|Damaged|Stale|Truncated' -v ./store/bolt
	$(BIN)/tocsin-lab kill $(ARGS)

bench: ## benchmarks, each beside a peer or the naive way
	go test -run '^$$' -bench . -benchmem $(ARGS) ./...

bench-traits: ## explain 100,000 and 1,000,000 series x 12 labels on one core, beside the naive way
	GOMAXPROCS=1 go test -run '^$$' -bench . -benchmem $(ARGS) ./enrich/traits

bench-netns: $(CACHE)/cadvisor ## as root: CPU time of a scrape of 200 real namespaces and cgroups, beside reading the files only, prometheus/procfs and cAdvisor's library; of 1,000 cgroups at 20 Hz
	CADVISOR='$(abspath $(CACHE)/cadvisor)' go test -run '^$$' -bench Scrape -benchtime 40x $(ARGS) ./exporters/netns
	go test -run '^$$' -bench Sampler -benchtime 200x $(ARGS) ./exporters/netns/throttle

e2e-openapi: build e2e-nginx ## a shop behind openapi_exporter: a scanner, generated rules, a probe, two pages that name the operation: 90 s; Debian's nginx and its rotated logs
	$(BIN)/tocsin-lab openapi

e2e-nginx: ## the logs of Debian's nginx, rotated and written by hostile clients, count what was sent
	program=$$(tools/nginx) && $(nginx-logs)
nginx-logs = NGINX_PROGRAM=$$program go test -count=1 -tags nginx -run RealNginx -v ./exporters/openapi

bench-openapi: ## openapi_exporter beside net/http.ServeMux, kin-openapi's router, a bare handler and a bare ReverseProxy; OPENAPI_DOCUMENTS=folder adds documents
	OPENAPI_DOCUMENTS='$(if $(OPENAPI_DOCUMENTS),$(abspath $(OPENAPI_DOCUMENTS)))' go test -run '^$$' -bench . -benchmem $(ARGS) ./exporters/openapi/...

ifdef DATA
accuracy: ## with DATA=folder of labelled cases: F1 per set, beside the peers' figures
	DATA='$(abspath $(DATA))' go test -count=1 -tags accuracy -run TestAccuracy -v $(ARGS) ./enrich/traits
else
accuracy: build ## right trait in the first message over 10 faults; ARGS="--faults 20"
	$(BIN)/tocsin-lab measure $(ARGS)
endif

bench-sources: $(CACHE)/prometheus $(CACHE)/thanos ## one question to real Thanos Query over gRPC and over HTTP, of 1,000 to 100,000 series
	go test -count=1 -tags sources -run TestSources -v $(ARGS) ./lab/world

bench-delivery: build ## Alertmanager alone beside Alertmanager and Tocsin: calm, 429 storm, kill -9; ARGS="--only kill"
	$(BIN)/tocsin-lab contest $(ARGS)

browser: ## the pages for people in a real Chromium, on a phone and a desktop; pictures in .lab/screenshots
	@mkdir -p .lab/screenshots
	BROWSER="$$(tools/browser)" SCREENSHOTS='$(CURDIR)/.lab/screenshots' go test -count=1 -tags browser -run 'Browser|APageIsLive|WithoutScripts' -v $(ARGS) ./web

fuzz: ## every fuzz target for FUZZTIME (30s); FUZZ=regexp chooses, FUZZ='!regexp' leaves out
	tools/fuzz $(FUZZTIME) '$(FUZZ)'

lint: $(CACHE)/golangci-lint ## gofumpt and the linters of .golangci.yml
	$(CACHE)/golangci-lint run ./...

fmt: $(CACHE)/golangci-lint ## rewrite the sources as gofumpt would
	$(CACHE)/golangci-lint fmt ./...

golden: ## rewrite every golden and generated reference, then show what changed
	UPDATE=1 go test ./... > /dev/null || true
	git diff --stat

rules: $(BIN)/tocsin $(BIN)/tocsin-lab $(CACHE)/promtool ## check and test the alerts on Tocsin, and check the rules and configs that are shipped
	$(CACHE)/promtool check rules deploy/alerts/*.rules.yml
	$(CACHE)/promtool test rules deploy/alerts/tests/*.yml
	$(CACHE)/promtool check rules --lint=none rules/packs/compiled/*.rules.yml
	$(CACHE)/promtool test rules rules/packs/tests/*.yml
	$(BIN)/tocsin rules test deploy/alerts/tests/*.yml rules/packs/tests/*.yml
	PROMTOOL=$(abspath $(CACHE)/promtool) go test -tags promtool -run Promtool ./rules/unittest
	$(CACHE)/promtool check config --syntax-only deploy/examples/prometheus.yml
	$(CACHE)/promtool check rules --lint-fatal exporters/openapi/generate/testdata/petstore.rules.yml
	$(CACHE)/promtool test rules exporters/openapi/generate/testdata/petstore_test.yml
	@for settings in fast stock; do \
	  $(BIN)/tocsin-lab configs --settings $$settings .lab/configs-$$settings > /dev/null; \
	  $(CACHE)/promtool check rules .lab/configs-$$settings/rules.yml; \
	done

dashboards: ## check the dashboards: the ten checks, and what they find; e2e asks every query
	go test -count=1 ./dashboards
	go test -count=1 -run Dashboards ./deploy

tools: $(CACHE)/prometheus $(CACHE)/alertmanager $(CACHE)/thanos $(CACHE)/etcd ## build the pinned Prometheus, Alertmanager, Thanos and etcd (lab and tests build what is not on PATH)

$(CACHE)/prometheus $(CACHE)/promtool &: tools/prometheus/go.mod
	tools/build prometheus "about 4 minutes on 2 cores" -tags remove_all_sd

$(CACHE)/alertmanager: tools/alertmanager/go.mod
	tools/build alertmanager "about 1 minute on 2 cores"

$(CACHE)/thanos: tools/thanos/go.mod
	tools/build thanos "about 4 minutes on 2 cores" -tags slicelabels

$(CACHE)/etcd: tools/etcd/go.mod
	tools/build etcd "about 1 minute on 2 cores"

$(CACHE)/cadvisor: tools/cadvisor/go.mod tools/cadvisor/main.go
	tools/build cadvisor "about 1 minute on 2 cores"

$(CACHE)/golangci-lint: tools/golangci-lint/go.mod
	tools/build golangci-lint "about 6 minutes on 2 cores"

clean: ## remove what was built here (tools and Go's caches stay)
	rm -rf $(BIN) .lab
