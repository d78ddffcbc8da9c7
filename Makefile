# The two commands of this repository are `go run ./cmd/evergate demo` and
# `make test`. Everything below serves them.

GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Debian's packages that the end-to-end tests use: a browser, and a web
# application with no sign-in of its own.
PACKAGES := chromium

.PHONY: test check unit e2e deps build fuzz soak

test: deps check unit e2e

build:
	$(GO) build -trimpath -o bin/evergate ./cmd/evergate

# Installs what is missing where we are root on Debian, and says what is
# missing elsewhere: the tests then skip those parts aloud.
deps:
	@missing=; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "missing for the end-to-end tests:$$missing"; fi

check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) mod verify
	$(GO) run $(STATICCHECK) ./...

unit:
	$(GO) test -race ./...

e2e:
	@if [ -f e2e/go.mod ]; then cd e2e && $(GO) vet ./... && $(GO) test -count=1 -timeout 12m ./...; fi
