# `make` lists the targets. Go is all that `run` and `build` need.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# The last tag, with the number of commits since, which a package manager takes for newer. Without a tag the number of all commits.
VERSION     := $(shell { git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || echo v0.0.0-dev.$$(git rev-list --count HEAD 2>/dev/null || echo 0).g$$(git rev-parse --short HEAD 2>/dev/null || echo unknown); } | sed 's/-\([0-9]*\)-g/+\1.g/')
NFPM        := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
# What is built from a commit has its time, so that two builds are the same.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
ARCH        ?= $(shell go env GOARCH)
FUZZTIME    ?= 30s
BENCH_PAIRS ?= 5
SOAK        ?= 20m
SOAK_ALLOCATIONS ?= 100000
# Nothing that is compiled has a path of this folder in it. So all programs and all checkouts share what the compiler has made.
export GOFLAGS := $(strip $(filter-out -trimpath,$(GOFLAGS)) -trimpath)
# A program with the race detector else sleeps for a second at its end, and tests start hundreds of them.
export GORACE ?= atexit_sleep_ms=20
# The tests of internal/e2e that relay data.
RELAYING    := ^Test(Paths|Firefox|CoturnClients|CoturnFamilies|CoturnMobility)$$
# The race detector needs a C compiler. `test` installs one; without one, `check` runs without the detector.
RACE         = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and start a server for this machine: http://localhost:8080
	bin/turnpike serve

.PHONY: build
build: ## build bin/turnpike, a single static file
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/turnpike ./cmd/turnpike

.PHONY: deb
deb: ## build bin/turnpike_VERSION_ARCH.deb, for the processor ARCH
	mkdir -p bin/package
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/package/turnpike ./cmd/turnpike
	@# Not by go run, which keeps a program for each version.
	CGO_ENABLED=0 go build -ldflags "-X main.version=$(VERSION)" -o bin/package/here ./cmd/turnpike
	for shell in bash zsh fish man; do bin/package/here completion $$shell > bin/package/$$shell; done
	rm bin/package/here
	gzip -9nf bin/package/man
	ARCH=$(ARCH) VERSION=$(VERSION) go run $(NFPM) package -f deploy/nfpm.yaml -p deb -t bin/

.PHONY: release
release: ## build all that a version is published as into bin/release: archives, packages, lists of modules, checksums
	rm -f bin/turnpike_*.deb
	$(MAKE) deb ARCH=amd64 VERSION=$(VERSION)
	$(MAKE) deb ARCH=arm64 VERSION=$(VERSION)
	go run ./deploy/release --version $(VERSION) --time $(SOURCE_DATE_EPOCH) --also 'bin/turnpike_*.deb'

.PHONY: check
check: lint js ## format, vet, staticcheck, unit tests, types and tests of the JavaScript: no root, no browser
	go test $(RACE) -vet=off -short ./...

# What compiles and what waits goes on at the same time: apt beside the linters, and internal/e2e beside all other tests.
.PHONY: test
test: ## run all tests, with real browsers behind real NATs: as root, installs what it needs
	@$(MAKE) --no-print-directory -j2 --output-sync=target install lint
	@$(MAKE) --no-print-directory -j2 --output-sync=target js race
	@$(MAKE) --no-print-directory -j2 test-e2e test-others

.PHONY: matrix
matrix: install ## run internal/e2e in its long form, with relaying in the kernel and in the process: as root
	CI=true TURNPIKE_MATRIX=1 go test -count=1 -timeout 60m ./internal/e2e
	CI=true TURNPIKE_MATRIX=1 TURNPIKE_TURN_OFFLOAD=off go test -count=1 -timeout 60m -skip 'TestOffload' ./internal/e2e

.PHONY: screenshots
screenshots: install ## look at every page and state in both themes and at all sizes, and leave pictures in bin/screenshots: as root
	CI=true TURNPIKE_SCREENSHOTS=$(CURDIR)/bin/screenshots go test -count=1 -timeout 20m -v -run '^TestLook$$' ./internal/e2e

.PHONY: service
service: install ## install, set up, upgrade and purge the package on a real systemd, with calls: as root
	CI=true internal/e2e/install.sh debootstrap systemd-nspawn
	CI=true TURNPIKE_SERVICE=1 go test -count=1 -timeout 20m -v -run '^TestService$$' ./internal/e2e

.PHONY: containers
containers: install ## judge the Helm chart with helm, build and run the image with podman, and call through it with every relay port closed: as root
	CI=true internal/e2e/install.sh debootstrap podman podman-compose runc iptables /usr/lib/podman/netavark
	CI=true TURNPIKE_CONTAINERS=1 go test -count=1 -timeout 15m -v -run '^TestChart$$' ./deploy
	CI=true TURNPIKE_CONTAINERS=1 go test -count=1 -timeout 15m -v -run '^(TestContainer|TestEngine)' ./internal/e2e

.PHONY: soak
soak: ## use one server at random for SOAK (20m), and look what is left of it; make SOAK_ALLOCATIONS (100000) relays: as root
	CI=true TURNPIKE_SOAK=$(SOAK) go test -count=1 -timeout 3h -v ./internal/soak
	CI=true TURNPIKE_ALLOCATIONS=$(SOAK_ALLOCATIONS) go test -count=1 -timeout 10m -run TestManyAllocations -v ./turnserver

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

.PHONY: bench
bench: ## compare relaying with coturn: as root, a quarter of an hour for BENCH_PAIRS (5) rounds
	@[ "$$(id -u)" = 0 ] || { echo "make bench makes network namespaces: run it as root"; exit 1; }
	CI=true internal/e2e/install.sh ip nft taskset turnserver
	CI=true BENCH_PAIRS=$(BENCH_PAIRS) go test -count=1 -timeout 2h -run TestTable -v ./internal/bench

.PHONY: flood
flood: ## compare with coturn what calls lose beside floods of forged datagrams: as root, four minutes on a machine with nothing else to do
	@[ "$$(id -u)" = 0 ] || { echo "make flood makes network namespaces: run it as root"; exit 1; }
	CI=true internal/e2e/install.sh ip taskset turnserver
	CI=true BENCH_PAIRS=1 go test -count=1 -timeout 30m -run 'TestFlood$$' -v ./internal/bench

.PHONY: bench-signal
bench-signal: node_modules/.package-lock.json ## compare signaling with PeerJS's server: twenty minutes for BENCH_PAIRS (5) rounds
	CI=true internal/e2e/install.sh taskset node
	CI=true BENCH_PAIRS=$(BENCH_PAIRS) go test -count=1 -timeout 2h -run TestSignalTable -v ./internal/bench

.PHONY: bench-peer
bench-peer: ## compare what peers transfer with TCP and data channels: as root, a quarter of an hour for BENCH_PAIRS (5) rounds
	@[ "$$(id -u)" = 0 ] || { echo "make bench-peer makes network namespaces: run it as root"; exit 1; }
	CI=true internal/e2e/install.sh ip nft
	CI=true BENCH_PAIRS=$(BENCH_PAIRS) go test -count=1 -timeout 2h -run 'TestPeerTable$$' -v ./internal/bench

.PHONY: microbench
microbench: ## run the benchmarks of single functions
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: generate
generate: ## build the kernel programs of turnserver/offload again, with Debian 12's clang
	CI=true internal/e2e/install.sh clang-14 llvm-strip-14
	go generate ./...

.PHONY: npm
npm: node_modules/.package-lock.json ## build the SDK as a package for npm: bin/turnpike-client-VERSION.tgz
	node web/npm/build.mjs $(VERSION) bin

.PHONY: types
types: node_modules/.package-lock.json ## make web/npm/turnpike.d.ts, the SDK's type declarations, of its JSDoc again
	node web/npm/types.mjs

.PHONY: icons
icons: node_modules/.package-lock.json ## draw web/static/icons of web/static/favicon.svg again, with Chromium
	CI=true internal/e2e/install.sh chromium
	node web/icons.mjs

.PHONY: clean
clean: ## remove what was built and installed here, but not turnpike-state
	rm -rf bin node_modules

# The targets above use those below.

# vet has seen all of it in lint, so that go test need not. The race detector is in internal/e2e for the Go programs that meet browsers
# there: they are the client library, between real networks.
.PHONY: test-e2e
test-e2e:
	CI=true go test -race -vet=off -count=1 -timeout 45m ./internal/e2e
	@# With root's privileges the kernel relays. Test one row for each kind of flow with relaying in the process, too.
	CI=true CGO_ENABLED=0 TURNPIKE_TURN_OFFLOAD=off go test -vet=off -count=1 -run '$(RELAYING)' ./internal/e2e

.PHONY: test-others
test-others:
	CI=true go test -race -vet=off -count=1 -timeout 45m $$(go list ./... | grep -v '/internal/e2e$$')

# Both of the former need this, and would compile it twice.
.PHONY: race
race:
	go build -race ./...

.PHONY: lint
lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	@# Without cgo, as the program is built: vet, staticcheck and the program share what is compiled. There is no C here.
	CGO_ENABLED=0 go vet ./...
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./...
	CGO_ENABLED=0 go run $(STATICCHECK) ./...

.PHONY: js
js: node_modules/.package-lock.json
	npm run --silent check
	npm test --silent

node_modules/.package-lock.json: package-lock.json
	@command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -qy --no-install-recommends nodejs npm; } \
	  || { echo "the checks of the JavaScript need Node.js 18 or later and npm: install them, or run this as root on Debian"; exit 1; }
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: install
install:
	internal/e2e/install.sh
