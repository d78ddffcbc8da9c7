# The two commands of this repository are `go run ./cmd/evergate demo` and
# `make test`. Everything below serves them.

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Debian's packages that the tests use: a browser, a web application with no
# sign-in of its own, and the checker of the unit in deploy/. Node.js runs a
# provider that nobody here wrote; one from elsewhere will do too. Redis keeps
# sessions, HAProxy spreads requests over several gateways, nginx is an app behind them.
# DokuWiki, Nagios and Jupyter Notebook are applications with sign-ins of their own.
# prometheus has promtool, and is asked what deploy/ says of metrics; rpm installs the rpm. rsyslog, logrotate
# and jq do with the audit log what docs/audit.md says. wrk sends the requests that are measured.
LEGACY := apache2 libapache2-mod-php dokuwiki nagios4-core nagios4-cgi python3-notebook
PACKAGES := $(LEGACY) chromium chromium-headless-shell libnss3-tools oathtool transmission-daemon systemd redis-server redis-sentinel haproxy nginx-light nghttp2-client openssl prometheus rpm rsyslog logrotate jq wrk $(shell command -v npm >/dev/null || echo nodejs npm)
PANVA := e2e/providers/panva
# What looks at the gateway's pages: axe-core, Lighthouse, html-validate and others, from npm.
PAGES := e2e/pages

.PHONY: test check unit simulate soak e2e deploy packages deps build fuzz bench bench-deps bench-compare bench-curves release packaging packaging-full

# One after the other: the browsers of the end-to-end tests keep two cores busy, and whatever goes
# on beside them has people wait who have their patience.
test: deps check unit e2e measured deploy simulate packaging storm
	@nice -n 19 $(MAKE) --no-print-directory fuzz FUZZTIME=5s FUZZFLAGS=-anew FUZZ='$(FUZZ_FIRST)'

.PHONY: storm measured
# What runs programs that are built as people get them, and what is of no worth with the race
# detector on: the measurements, in little, the program without what nobody calls, memory, and
# how a config is read, which is work for one goroutine.
measured:
	$(GO) test -count=1 -timeout 10m ./bench/... ./internal/slim
	$(GO) test -count=1 -timeout 5m -run 'TestFilledIsAsPut|TestLongListIsLeftOut|TestMostlyEmptyFileIsCompacted|TestDamagedPagesAreErrors' ./session/bolt
	$(GO) test -count=1 -timeout 5m -run 'TestSchemaGoesWithTheDecoder|TestWorkGrowsWithTheFile' ./config
	$(GO) test -count=1 -timeout 5m -run TestMemoryOfConnections ./cmd/evergate

# What is in deploy/, read by the programs that it is for, and started.
deploy:
	cd deploy/check && nice -n 19 $(GO) vet ./... && nice -n 19 $(GO) test -count=1 -timeout 10m ./...

# Reloads the config for a minute under load.
storm:
	EVERGATE_RELOAD_FOR=60s $(GO) test -race -count=1 -run TestReloadStorm ./cmd/evergate

# A third smaller than what go build makes: internal/slim says why. That runs here, whatever
# the program is for.
build:
	GOOS= GOARCH= $(GO) build -o bin/slim ./internal/slim
	bin/slim $(GO) build -trimpath -o bin/evergate ./cmd/evergate

# What people install, of the commit that is checked out, in dist/VERSION.
release:
	@if [ -z "$(VERSION)" ]; then echo "say which: make release VERSION=1.2.3" >&2; exit 2; fi
	cd release && $(GO) run . -repo .. -version "$(VERSION)"

# Makes a release and installs it in copies of this machine, which takes root.
packaging:
	cd release && $(GO) vet ./... && $(GO) test -count=1 -timeout 10m ./...

# The same for every platform, and all of it built twice from nothing: some minutes.
packaging-full:
	cd release && EVERGATE_FULL=1 $(GO) test -count=1 -timeout 60m ./...

# Installs what is missing where we are root on Debian, and says what is
# missing elsewhere: the tests then skip those parts aloud.
packages:
	@missing=; for p in $(WANT); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "missing for $(FOR):$$missing"; fi

deps:
	@$(MAKE) --no-print-directory packages WANT="$(PACKAGES)" FOR="the end-to-end tests"
	@if [ -d $(PANVA)/node_modules/oidc-provider ] || ! command -v npm >/dev/null; then exit 0; fi; \
	echo "installing panva's oidc-provider"; cd $(PANVA) && \
	npm install --silent --no-save --no-package-lock --no-audit --no-fund --ignore-scripts && \
	if node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 0 : 1)'; then \
		npm install --silent --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
			oidc-provider@9.13.3 node-linux-$$(node -p process.arch)@22; fi
	@if [ -d $(PAGES)/node_modules/axe-core ] || ! command -v npm >/dev/null; then exit 0; fi; \
	echo "installing what looks at pages"; cd $(PAGES) && \
	npm install --silent --no-save --no-package-lock --no-audit --no-fund --ignore-scripts && \
	echo '{}' >node_modules/@mdn/mdn-http-observatory/conf/hsts-preload.json

check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	@for dir in . e2e release deploy/check; do printf 'go mod verify in %s: ' $$dir; (cd $$dir && $(GO) mod verify) || exit 1; done
	$(GO) run $(STATICCHECK) ./...
	$(GO) run ./internal/vulns

# Those that run beside others mostly wait, so that there may be more than cores.
# Vet has looked at everything before.
unit:
	$(GO) test -race -vet=off -parallel 4 ./...

# 20,000 random histories of sessions, and each shortcut that must show in them.
simulate:
	EVERGATE_HISTORIES=20000 EVERGATE_MUTANTS=1 nice -n 19 $(GO) test -count=1 -timeout 15m -run Simulation ./session

# A million of them, from another seed on each day; then the attacks that are generated and those
# that wear the gateway out, in full, and each fuzz target for ten minutes.
soak:
	EVERGATE_HISTORIES=1000000 EVERGATE_SEED=$$(date +%Y%m%d)0000000 $(GO) test -count=1 -timeout 0 -v -run 'TestSimulation$$' ./session
	cd e2e && EVERGATE_REQUESTS=100000 EVERGATE_FULL=1 EVERGATE_SEED=$$(date +%Y%m%d)0000000 $(GO) test -count=1 -timeout 0 -v -run 'TestDifferential$$|TestWearing$$' ./attacks
	@$(MAKE) --no-print-directory fuzz FUZZTIME=10m

# How many go on at once they settle among themselves: e2e/seats_test.go. The attacks come after
# the rest, so that a browser is not starved by them.
e2e:
	cd e2e && $(GO) vet ./... && $(GO) test -p 1 -count=1 -parallel 64 -timeout 24m ./...

# Each fuzz target that there is, for FUZZTIME; corpora are in testdata/fuzz and in code. With
# FUZZ='session FuzzC' only those of that name.
FUZZTIME ?= 60s
FUZZ ?=
# What strangers send first, and what everything else stands on. All of them run their corpora with
# the unit tests, and for longer in soak.
FUZZ_FIRST := Fuzz(Answers|Cookie|Sealed|Chunks|Handle|StateCookie|Callback|CallbackAnswer|SignedToken|Discovery|KeySet|TokenAnswer|ReturnTo|Clean|Forwarded|ForwardAuth|Parse|Users|OpenState|Record|Head|Handler|Registers)$$
fuzz:
	$(GO) run ./internal/fuzz -time $(FUZZTIME) -only '$(FUZZ)' $(FUZZFLAGS)

# What the measurements use: a load generator, and a store.
BENCH := wrk redis-server

# What a request costs beside no gateway and beside a bare proxy, in less than a quarter of an
# hour. Writes the tables of docs/performance.md.
bench: bench-deps
	$(GO) run ./bench -write

bench-deps:
	@$(MAKE) --no-print-directory packages WANT="$(BENCH)" FOR="the measurements"

# The Go benchmarks of hot pieces, here and at another commit, by turns.
BENCH_COUNT ?= 10
bench-compare:
	@if [ -z "$(BASE)" ]; then echo "say with what: make bench-compare BASE=HEAD~1" >&2; exit 2; fi
	$(GO) run ./bench/compare -base "$(BASE)" -count $(BENCH_COUNT)

# How costs grow, with a million sessions among others: the second part of bench, in seven
# minutes and 4 GB of disk.
bench-curves:
	$(GO) run ./bench/curves -write
