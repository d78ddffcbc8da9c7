//go:build unix

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
)

// TestKeysThatNeedARestart: each is refused with its place, and nothing else of such a file
// is taken; docs/reload.md lists exactly these.
func TestKeysThatNeedARestart(t *testing.T) {
	const base = `public_url: http://localhost:8080
log: { level: error }
trusted_proxies: [10.0.0.1]
forward_auth: { listen: "127.0.0.1:9091", dialect: nginx }
identity: [ { oidc: { issuer: https://login.example.com, client_id: evergate, client_secret: secret } } ]
routes: [ { upstream: "http://127.0.0.1:9" } ]
`
	dir := t.TempDir()
	load := func(text string) *config.Config {
		t.Helper()
		file := filepath.Join(dir, "evergate.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	edits := map[string]string{
		"listen":                   "listen: 127.0.0.1:8081",
		"admin.listen":             "admin: { listen: 127.0.0.1:9181 }",
		"public_url":               "public_url: http://localhost:8081",
		"data_dir":                 "data_dir: elsewhere",
		"forward_auth.listen":      "forward_auth: { listen: 127.0.0.1:9092, dialect: nginx }",
		"session.store":            "session: { store: redis }\nkeys: { files: [key] }",
		"session.redis":            "session: { redis: { db: 1 } }",
		"session.cookie":           "session: { cookie: { name: other } }",
		"access_token.algorithm":   "access_token: { algorithm: RS256 }",
		"access_token.rotate_keys": "access_token: { rotate_keys: 100d }",
		"proxy_protocol":           "proxy_protocol: true",
		"limits.header_bytes":      "limits: { header_bytes: 32KiB }",
		"limits.header_timeout":    "limits: { header_timeout: 5s }",
		"limits.idle_timeout":      "limits: { idle_timeout: 5s }",
		"limits.streams":           "limits: { streams: 50 }",
		"log.format":               "log: { format: text }",
	}
	now := load(base)
	for key := range needRestart {
		text, ok := edits[key]
		if strings.HasPrefix(key, "tls.") {
			continue // plain http has none; TestTLSNeedsARestart
		}
		if !ok {
			t.Errorf("%s has no row in this test", key)
			continue
		}
		top, _, _ := strings.Cut(text, ":")
		kept := regexp.MustCompile(`(?m)^`+top+`:.*\n`).ReplaceAllString(base, "")
		next := load(kept + text + "\n")
		faults := restartFaults(now, next, config.Diff(now, next))
		if len(faults) != 1 || !strings.HasPrefix(faults[0].Path, key) || faults[0].Line < 4 || !strings.Contains(faults[0].Msg, "needs a restart") {
			t.Errorf("%s: got %v, want one fault at its line", key, faults)
		}
	}

	b, err := os.ReadFile("../../docs/reload.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| (.*) \\|$").FindAllStringSubmatch(string(b), -1) {
		listed[m[1]] = m[2]
	}
	for key, why := range needRestart {
		if listed[key] != why {
			t.Errorf("docs/reload.md says %q of %s, want %q", listed[key], key, why)
		}
	}
	if len(listed) != len(needRestart) {
		t.Errorf("docs/reload.md lists %d keys, want %d", len(listed), len(needRestart))
	}
	known := config.KeyPaths()
	for key := range needRestart {
		found := false
		for _, k := range known {
			found = found || k == key || strings.HasPrefix(k, key+".")
		}
		if !found {
			t.Errorf("%s is no key of the config", key)
		}
	}
}

// TestTLSNeedsARestart: https does not come or go, and the names of files may change.
func TestTLSNeedsARestart(t *testing.T) {
	parse := func(tls string) *config.Config {
		t.Helper()
		cfg, err := config.Parse("evergate.yaml", []byte("public_url: https://apps.example.com\nidentity: [ { local: { users_file: users.yaml } } ]\n"+
			"routes: [ { upstream: \"http://127.0.0.1:9\" } ]\n"+tls), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	for _, c := range []struct {
		name, before, after string
		want                bool
	}{
		{"no change", "tls: { cert_file: a, key_file: b }\n", "tls: { cert_file: a, key_file: b }\n", false},
		{"other files", "tls: { cert_file: a, key_file: b }\n", "tls: { cert_file: c, key_file: d }\n", false},
		{"how long browsers remember", "tls: { cert_file: a, key_file: b }\n", "tls: { cert_file: a, key_file: b, hsts: 1d }\n", false},
		{"https comes", "", "tls: { cert_file: a, key_file: b }\n", true},
		{"https goes", "tls: { cert_file: a, key_file: b }\n", "", true},
		{"to ACME", "tls: { cert_file: a, key_file: b }\n", "tls: { acme: { email: a@example.com } }\n", true},
		{"ACME comes", "", "tls: { acme: { email: a@example.com } }\n", true},
		{"ACME elsewhere", "tls: { acme: { email: a@example.com } }\n", "tls: { acme: { email: a@example.com, directory: \"https://ca.example/dir\" } }\n", true},
		{"the redirect", "tls: { cert_file: a, key_file: b }\n", "tls: { cert_file: a, key_file: b, redirect_http: \":80\" }\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			now, next := parse(c.before), parse(c.after)
			if got := restartFaults(now, next, config.Diff(now, next)); (len(got) > 0) != c.want {
				t.Errorf("got %v, want some: %v", got, c.want)
			}
		})
	}
}

// TestLogLevelIsTaken: at once, for everything that logs.
func TestLogLevelIsTaken(t *testing.T) {
	cfg, err := config.Parse("evergate.yaml", []byte("public_url: http://localhost:8080\nidentity: [ { oidc: { issuer: https://login.example.com, client_id: e, client_secret: s } } ]\n"+
		"routes: [ { upstream: \"http://127.0.0.1:9\" } ]\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = t.TempDir()
	var out safeBuffer
	log, control := newLog(&out, cfg.Log)
	defer control.Close()
	g, err := build(cfg, log, parts{Log: control})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	log.Debug("one")
	next := *cfg
	next.Log.Level = slog.LevelDebug
	if err := g.apply(&next); err != nil {
		t.Fatal(err)
	}
	log.Debug("two")
	if strings.Contains(out.String(), "one") || !strings.Contains(out.String(), "two") {
		t.Errorf("got %s, want two alone", out.String())
	}
	lines := func() {
		for _, l := range []web.Line{{Path: "/well"}, {Path: "/failed", Host: "of-a-warning", Level: slog.LevelWarn}} {
			l.At = time.Now()
			control.access().Access(&l)
		}
		log.Error("all of them are written by now")
	}
	lines()
	if said := out.String(); !strings.Contains(said, "/well") || !strings.Contains(said, "/failed") {
		t.Errorf("got %s, want both access lines", said)
	}
	quiet := *cfg
	quiet.Log.Level, quiet.Log.Redact = slog.LevelWarn, []string{"path"}
	if err := g.apply(&quiet); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	lines()
	if said := out.String(); strings.Contains(said, "/well") || strings.Contains(said, "/failed") || !strings.Contains(said, "of-a-warning") {
		t.Errorf("got %s, want the line of level warn alone, without its path", said)
	}
}
