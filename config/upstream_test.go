package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
)

const head = "public_url: https://apps.example.com\nidentity: [ local: { users_file: users.yaml } ]\nroutes:\n"

func parseRoute(t *testing.T, route string) *config.Route {
	t.Helper()
	c, err := config.Parse("x", []byte(head+route), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	return &c.Routes[0]
}

// TestUpstreamForms: the short form is the long one with nothing else said.
func TestUpstreamForms(t *testing.T) {
	for name, route := range map[string]string{
		"a URL":            "  - upstream: http://127.0.0.1:1\n",
		"one target":       "  - upstream: { targets: [http://127.0.0.1:1] }\n",
		"one in a mapping": "  - upstream:\n      targets:\n        - url: http://127.0.0.1:1\n",
	} {
		r := parseRoute(t, route)
		u := r.Upstream
		if len(u.Targets) != 1 || u.String() != "http://127.0.0.1:1" || u.Targets[0].Weight != 1 {
			t.Errorf("%s: got %v", name, u)
		}
		for _, row := range []struct {
			key       string
			got, want any
		}{
			{"balance", u.Balance, "least_requests"}, {"sticky", u.Sticky, ""}, {"health", u.Health == nil, true},
			{"eject.after", u.Eject.After, 5}, {"eject.for", u.Eject.For, 30 * time.Second}, {"slow_start", u.SlowStart, 30 * time.Second},
			{"retries", u.Retries, 1}, {"connections", u.Connections, 0}, {"protocol", u.Protocol, "auto"}, {"tls", u.TLS == nil, true},
			{"timeouts", r.Timeouts, config.Timeouts{Connect: 5 * time.Second, ResponseHeader: time.Minute, Idle: 90 * time.Second}},
		} {
			if row.got != row.want {
				t.Errorf("%s: %s: got %v, want %v", name, row.key, row.got, row.want)
			}
		}
	}
	u := parseRoute(t, "  - upstream: { targets: [http://a.example, { url: \"https://b.example\", weight: 7 }], health: { path: /up, interval: 5s } }\n").Upstream
	if len(u.Targets) != 2 || u.Targets[1].Weight != 7 || *u.Health != (config.Health{Path: "/up", Interval: 5 * time.Second, Timeout: 2 * time.Second, UnhealthyAfter: 3, HealthyAfter: 2}) {
		t.Errorf("got %+v, %+v", u, u.Health)
	}
}

// TestZerosOfAnUpstreamAreKept: 0 says something else than nothing, also in the
// effective config.
func TestZerosOfAnUpstreamAreKept(t *testing.T) {
	text := head + "  - upstream: { targets: [http://127.0.0.1:1], retries: 0, slow_start: 0s, eject: { after: 0 } }\n    timeouts: { response_header: 0s }\n"
	for range 2 {
		c, err := config.Parse("x", []byte(text), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		r := c.Routes[0]
		if r.Upstream.Retries != 0 || r.Upstream.SlowStart != 0 || r.Upstream.Eject.After != 0 || r.Timeouts.ResponseHeader != 0 || r.Timeouts.Connect == 0 {
			t.Errorf("got %+v, %+v, want the zeros kept", r.Upstream, r.Timeouts)
		}
		var b strings.Builder
		if err := c.WriteEffective(&b); err != nil {
			t.Fatal(err)
		}
		text = b.String()
	}
	c, err := config.Parse("x", []byte(head+"  - upstream: http://127.0.0.1:1\n"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := c.WriteEffective(&b); err != nil || !strings.Contains(b.String(), "upstream: http://127.0.0.1:1\n") {
		t.Errorf("got %v\n%s\nwant the short form kept short", err, &b)
	}
}

func TestUpstreamFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "e.yaml")
	text := head + "  - upstream: { targets: [https://a.example, https://b.example], tls: { ca_file: ca.pem, cert_file: /c.pem, key_file: k.pem } }\n" +
		"  - { match: { path: /x }, upstream: { targets: [https://c.example], tls: { insecure_skip_verify: true } } }\n" +
		"  - { match: { path: /y }, upstream: { targets: [https://d.example, http://10.0.0.5:1] } }\n"
	for name, text := range map[string]string{file: text, filepath.Join(dir, "k.pem"): "x"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "k.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if u := c.Routes[0].Upstream.TLS; u.CAFile != filepath.Join(dir, "ca.pem") || u.CertFile != "/c.pem" || u.KeyFile != filepath.Join(dir, "k.pem") {
		t.Errorf("got %+v, want paths of the file's folder", u)
	}
	all := config.Faults(c.Warnings()).Error()
	for _, want := range []string{
		"routes[0].upstream.tls.ca_file: warning: it cannot be read here, and the gateway does not start without it",
		"routes[0].upstream.tls.key_file: warning: everybody on this machine can read it",
		":5:99: routes[1].upstream.tls.insecure_skip_verify: warning: any server on the way can say that it is https://c.example, read the tokens and answer",
		"routes[2].upstream.targets[1]: warning: tokens travel to 10.0.0.5:1 in the clear",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("got\n%s\nwant in it\n%s", all, want)
		}
	}
}
