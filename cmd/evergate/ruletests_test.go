package main

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
)

// TestFailingTestsRefuseAReload: the config of before stays in force, and what is wrong is
// said with its line and what it came of.
func TestFailingTestsRefuseAReload(t *testing.T) {
	parse := func(text string) *config.Config {
		t.Helper()
		cfg, err := config.Parse("evergate.yaml", []byte("public_url: http://localhost:8080\nidentity: [ local: { users_file: u.yaml } ]\n"+text), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	const tests = "tests:\n  - name: the page is open\n    request: GET http://localhost:8080/open\n    expect: public\n"
	open := "routes:\n  - match: { path: /open }\n    public: true\n    respond: { body: hello }\n"
	g, err := build(parse(open+tests), slog.New(slog.DiscardHandler), parts{Users: []local.User{}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	answer := func() int {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://localhost:8080/open", nil)
		r.RequestURI = "/open"
		g.Public.ServeHTTP(rec, r)
		return rec.Code
	}
	if got := answer(); got != 200 {
		t.Fatalf("got %d, want 200", got)
	}
	closed := strings.Replace(open, "    public: true\n", "", 1)
	err = g.apply(parse(closed + tests))
	faults, ok := errors.AsType[config.Faults](err)
	if !ok || len(faults) != 1 || faults[0].Line != 9 || !strings.Contains(err.Error(), "the page is open: want decision public, got login") {
		t.Errorf("got %v, want a fault at line 9", err)
	}
	if got := answer(); got != 200 {
		t.Errorf("got %d after a reload that was refused, want 200", got)
	}
	if err := g.apply(parse(closed + strings.Replace(tests, "public\n", "{ decision: login, status: 302 }\n", 1))); err != nil {
		t.Errorf("got %v, want the change applied with its test", err)
	}
	if got := answer(); got != 401 {
		t.Errorf("got %d once the change is in force, want 401", got)
	}
}

// TestTestsSayWhatTheGateDoes: what a test leaves out is what it would be, and what is
// soon mistyped is no refusal that was meant.
func TestTestsSayWhatTheGateDoes(t *testing.T) {
	for _, c := range []struct{ name, routes, test, wrong string }{
		{"local users sign in by password", `[ { upstream: "http://127.0.0.1:1", deny: [ { amr: [pwd] } ] } ]`,
			`{ request: /a, identity: { user: alice }, expect: denied }`, ""},
		{"unless the test says otherwise", `[ { upstream: "http://127.0.0.1:1", deny: [ { amr: [pwd] } ] } ]`,
			`{ request: /a, identity: { user: alice, amr: [otp] }, expect: allowed }`, ""},
		{"it is noon of a Monday, whenever it runs", `[ { upstream: "http://127.0.0.1:1", allow: [ { times: [ { days: [mon], from: "12:00", to: "12:01" } ] } ] } ]`,
			`{ request: /a, identity: { user: alice }, expect: allowed }`, ""},
		{"or when it says", `[ { upstream: "http://127.0.0.1:1", allow: [ { times: [ { days: [mon], from: "12:00", to: "12:01" } ] } ] } ]`,
			`{ request: { url: /a, time: "2026-01-06T12:00:00Z" }, identity: { user: alice }, expect: denied }`, ""},
		{"a path is taken as it is written", `[ { upstream: "http://127.0.0.1:1" } ]`,
			`{ request: "http://localhost:8080/x/../admin", identity: { user: alice }, expect: refused }`, ""},
		{"without a host too", `[ { upstream: "http://127.0.0.1:1" } ]`, `{ request: /x/../admin, identity: { user: alice }, expect: { decision: refused, status: 400 } }`, ""},
		{"a host that nobody serves", `[ { match: { host: a.example.com }, upstream: "http://127.0.0.1:1" } ]`, `{ request: "http://b.example.com/", expect: refused }`,
			"the gateway answers 421"},
		{"which may be meant", `[ { match: { host: a.example.com }, upstream: "http://127.0.0.1:1" } ]`, `{ request: "http://b.example.com/", expect: { decision: refused, status: 421 } }`, ""},
		{"a method that is none", `[ { upstream: "http://127.0.0.1:1" } ]`, `{ request: post /x, expect: refused }`, "the gateway answers 501"},
		{"a preflight is refused where it is from", `[ { upstream: "http://127.0.0.1:1", cors_preflight: pass, deny: [ { networks: [192.0.2.0/24] } ] } ]`,
			`{ request: { method: OPTIONS, url: /x, headers: { Origin: "https://o.example", Access-Control-Request-Method: GET } }, expect: { decision: denied, status: 403 } }`, ""},
		{"and passes from elsewhere", `[ { upstream: "http://127.0.0.1:1", cors_preflight: pass, deny: [ { networks: [192.0.2.0/24] }, { groups: [guests] } ] } ]`,
			`{ request: { method: OPTIONS, url: /x, address: 10.0.0.1, headers: { Origin: "https://o.example", Access-Control-Request-Method: GET } }, expect: preflight }`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := config.Parse("evergate.yaml", []byte("public_url: http://localhost:8080\nidentity: [ local: { users_file: u.yaml } ]\nroutes: "+c.routes+"\ntests: [ "+c.test+" ]\n"), os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			if err := runTests(t.Context(), cfg); (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("got %v, want %q", err, c.wrong)
			}
		})
	}
}

// TestUnreadClientsAreNotTheProxy: rules by address are not met by a proxy in the place of
// a client that it could not name.
func TestUnreadClientsAreNotTheProxy(t *testing.T) {
	cfg, err := config.Parse("evergate.yaml", []byte(`public_url: http://localhost:8080
trusted_proxies: [10.0.0.0/8]
identity: [ local: { users_file: u.yaml } ]
routes:
  - { match: { path: /inside }, upstream: "http://127.0.0.1:1", allow: [ { networks: [10.0.0.0/8] } ] }
  - { match: { path: /outside }, public: true, upstream: "http://127.0.0.1:1", deny: [ { networks: [203.0.113.0/24] } ] }
tests:
  - { request: { url: /inside, address: 10.0.0.1 }, identity: { user: al }, expect: allowed }
  - { request: { url: /inside, address: 10.0.0.1, headers: { X-Forwarded-For: 10.1.1.1 } }, identity: { user: al }, expect: allowed }
  - { request: { url: /inside, address: 10.0.0.1, headers: { X-Forwarded-For: "203.0.113.9:99" } }, identity: { user: al }, expect: denied }
  - { request: { url: /outside, address: 10.0.0.1, headers: { X-Forwarded-For: 198.51.100.9 } }, expect: public }
  - { request: { url: /outside, address: 10.0.0.1, headers: { X-Forwarded-For: "203.0.113.9:99" } }, expect: denied }
`), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if err := runTests(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}
