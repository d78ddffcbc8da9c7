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
