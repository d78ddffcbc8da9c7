package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
)

func noEnv(string) (string, bool) { return "", false }

func TestFaultsAreDrawn(t *testing.T) {
	_, err := config.Parse("evergate.yaml", []byte("public_url: https://a.example\nidentity: [ local: { users_file: u } ]\nroutes:\n  - upstraem: http://127.0.0.1:1\n"), noEnv)
	var b strings.Builder
	faults, _ := errors.AsType[config.Faults](err)
	faults.Draw(&b, false)
	want := `evergate.yaml:4:5: unknown key "upstraem" under routes[0]
    4 |   - upstraem: http://127.0.0.1:1
      |     ^^^^^^^^ did you mean "upstream"?
`
	if !strings.Contains(b.String(), want) {
		t.Errorf("got\n%s\nwant in it\n%s", &b, want)
	}
}

const small = `
public_url: https://apps.example.com
identity:
  - local: { users_file: users.yaml }
routes:
  - upstream: http://127.0.0.1:9000
`

// TestBoundSessionsInCookies: a route may ask for them with every store.
func TestBoundSessionsInCookies(t *testing.T) {
	c, err := config.Parse("x", []byte(`
public_url: https://apps.example.com
identity:
  - oidc: { issuer: https://id.example.com, client_id: evergate, client_secret: s }
routes:
  - upstream: http://127.0.0.1:9000
    device_bound: require
session: { store: cookie }
`), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Routes[0].DeviceBound; got != "require" {
		t.Errorf("got %q, want require", got)
	}
}

func TestDefaults(t *testing.T) {
	c, err := config.Parse("x", []byte(small), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		what      string
		got, want any
	}{
		{"listen", c.Listen, "127.0.0.1:8080"},
		{"admin.listen", c.Admin.Listen, "127.0.0.1:9180"},
		{"admin.decisions", c.Admin.Decisions, 20},
		{"access_token.ttl", c.AccessToken.TTL, 15 * time.Minute},
		{"renew_before of 15m", c.AccessToken.RenewBefore.For(15 * time.Minute), 3 * time.Minute},
		{"algorithm", c.AccessToken.Algorithm, "ES256"},
		{"rotate_keys", c.AccessToken.RotateKeys, 720 * time.Hour},
		{"audience", c.AccessToken.Audience, "evergate"},
		{"store", c.Session.Store, "bolt"},
		{"idle_timeout", c.Session.IdleTimeout, 12 * time.Hour},
		{"max_lifetime", c.Session.MaxLifetime, 720 * time.Hour},
		{"rotation_grace", c.Session.RotationGrace, time.Minute},
		{"max_stale", c.Session.MaxStale, 10 * time.Minute},
		{"header_bytes", c.Limits.HeaderBytes, config.Size(64 << 10)},
		{"headers", c.Limits.Headers, 100},
		{"request_timeout", c.Limits.RequestTimeout, time.Duration(0)},
		{"stall_timeout", c.Limits.StallTimeout, time.Minute},
		{"connections_per_address", c.Limits.ConnectionsPerAddress, 1024},
		{"streams", c.Limits.Streams, 100},
		{"forwarded_header", c.ForwardedHeader, "X-Forwarded-For"},
		{"proxy_protocol", c.ProxyProtocol, false},
		{"hsts", c.TLS.HSTS, time.Duration(0)},
		{"no acme", c.TLS.ACME == nil, true},
		{"public", c.Routes[0].Public, false},
		{"no allow is nil: anyone signed in", c.Routes[0].Allow == nil, true},
	} {
		if row.got != row.want {
			t.Errorf("%s: got %v, want %v", row.what, row.got, row.want)
		}
	}
}

func TestVariablesAreFilledInAfterParsing(t *testing.T) {
	env := map[string]string{"AUD": "x: [y] # z", "N": "0123", "EMPTY": ""}
	getenv := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	for in, want := range map[string]string{
		`${AUD}`: "x: [y] # z", `${N}`: "0123", `a${N}b`: "a0123b", `${NONE:-d}`: "d", `${EMPTY:-d}`: "d",
		`${EMPTY}x`: "x", `$${AUD}`: "${AUD}", `$argon2id$v=19$x`: "$argon2id$v=19$x", `$N`: "$N", `${N:?why}`: "0123",
	} {
		c, err := config.Parse("x", []byte(small+"access_token: { audience: '"+in+"' }\n"), getenv)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if c.AccessToken.Audience != want {
			t.Errorf("%s: got %q, want %q", in, c.AccessToken.Audience, want)
		}
	}
}

func TestExampleLoadsAndNamesEveryKey(t *testing.T) {
	if _, err := config.Load("../config.example.yaml"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// With every commented default switched on it loads too, and says the same.
	line := regexp.MustCompile(`(?m)^#( *[a-z_#].*)$`)
	yamlish := regexp.MustCompile(`^( *)(# .*|[a-z_]+:.*)$`)
	full := line.ReplaceAllStringFunc(string(data), func(s string) string {
		body := strings.TrimPrefix(strings.TrimPrefix(s, "#"), " ")
		if m := yamlish.FindStringSubmatch(body); m == nil || strings.HasPrefix(m[2], "#") {
			return s
		}
		return body
	})
	full = strings.ReplaceAll(full, "cert_file: /etc/evergate/tls.crt", "cert_file: c")
	c, err := config.Parse("the example with its defaults", []byte(full), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Session.IdleTimeout != 12*time.Hour || c.TLS.CertFile == "" {
		t.Error("the commented defaults were not switched on; this test sees nothing")
	}
	for _, key := range config.AllKeys(reflect.TypeFor[config.Config]()) {
		if !regexp.MustCompile(`(?m)(^|[ {#-])` + key + `:`).Match(data) {
			t.Errorf("config.example.yaml does not show %s", key)
		}
	}
}

func TestEffectiveConfigIsAConfig(t *testing.T) {
	c, err := config.Load("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var first, second strings.Builder
	if err := c.WriteEffective(&first); err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("effective", []byte(first.String()), noEnv)
	if err != nil {
		t.Fatalf("%v\n%s", err, &first)
	}
	if err := again.WriteEffective(&second); err != nil || first.String() != second.String() {
		t.Errorf("got\n%s\nwant\n%s", &second, &first)
	}
	for _, want := range []string{"ttl: 15m", "header_bytes: 64KiB", "renew_before: 20%", "level: info", "rotation_grace: 1m"} {
		if !strings.Contains(first.String(), want) {
			t.Errorf("the effective config lacks %q:\n%s", want, &first)
		}
	}
}

func TestPathsAreOfTheFilesFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "e.yaml")
	if err := os.WriteFile(file, []byte(small+"keys: { files: [a.key, /b.key] }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != filepath.Join(dir, "evergate-data") || c.Keys.Files[0] != filepath.Join(dir, "a.key") ||
		c.Keys.Files[1] != "/b.key" || c.Identity[0].Local.UsersFile != filepath.Join(dir, "users.yaml") {
		t.Errorf("got %s, %v, %s", c.DataDir, c.Keys.Files, c.Identity[0].Local.UsersFile)
	}
}

func TestWarnings(t *testing.T) {
	c, err := config.Parse("x", []byte(strings.ReplaceAll(small, "127.0.0.1", "10.0.0.5")+"trusted_proxies: [0.0.0.0/0]\nkeys: { files: [none.key] }\nsession: { store: redis }\ntls: { acme: { ca_file: none.pem } }\n"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	all := config.Faults(c.Warnings()).Error()
	for _, want := range []string{"tls.acme: warning: each gateway gets certificates of its own", "tls.acme.ca_file: warning: it cannot be read here", "everybody is believed", "tokens travel to 10.0.0.5:9000 in the clear"} {
		if !strings.Contains(all, want) {
			t.Errorf("got %q, want %q in it", all, want)
		}
	}
}

// TestACMEIsForTheHostsThatAreKnown: public_url's and those of routes, once each.
func TestACMEIsForTheHostsThatAreKnown(t *testing.T) {
	c, err := config.Parse("x", []byte(strings.Replace(small, "routes:", `tls: { acme: {} }
limits: { connections_per_address: 0 }
routes:
  - match: { host: Wiki.example.com }
    upstream: http://127.0.0.1:9001
  - match: { host: wiki.example.com, path: /x }
    upstream: http://127.0.0.1:9001
  - match: { host: apps.example.com }
    upstream: http://127.0.0.1:9001`, 1)), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Hosts(), []string{"apps.example.com", "wiki.example.com"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := c.TLS.ACME.Directory.String(); got != "https://acme-v02.api.letsencrypt.org/directory" {
		t.Errorf("got the directory %s, want Let's Encrypt's", got)
	}
	var shown strings.Builder
	if err := c.WriteEffective(&shown); err != nil || !strings.Contains(shown.String(), "connections_per_address: 0") {
		t.Errorf("got %v and\n%s\nwant the zero that lifts the limit shown", err, &shown)
	}
}

// FuzzParse: any text gives a Config or faults that say where, never a panic.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range append(files, "../config.example.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("? [1]\n: 2\n<<: {a: 1}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	for _, write := range adversaries {
		f.Add([]byte(write(2 << 10)))
	}
	f.Fuzz(func(t *testing.T, data []byte) { digest(t, string(data)) })
}

// TestExampleProviderLoads: the block of the example that is commented out as a
// whole, for its files are not there, is a provider in every line.
func TestExampleProviderLoads(t *testing.T) {
	data, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(data), "  # - oidc:\n")
	var full strings.Builder
	full.WriteString("public_url: https://apps.example.com\nidentity:\n  - oidc:\n")
	for line := range strings.Lines(block) {
		body, ok := strings.CutPrefix(line, "  #     ")
		if !ok {
			break
		}
		full.WriteString("      " + body)
	}
	full.WriteString("routes: [ upstream: http://127.0.0.1:1 ]\n")
	c, err := config.Parse("the provider of the example", []byte(full.String()), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	o := c.Providers()[0]
	if o.ExtraParams["domain_hint"] != "example.com" || o.MaxAge == nil || *o.MaxAge != 12*time.Hour || len(o.Claims.Groups) != 2 || len(o.Claims.User) != 1 {
		t.Errorf("got %+v, want what the example says", o)
	}
}

func TestProviderDefaultsAndSecrets(t *testing.T) {
	c, err := config.Parse("c.yaml", []byte(`
public_url: https://apps.example.com
identity:
  - oidc: { issuer: "http://127.0.0.1:9999/x", client_id: evergate, client_secret: "${S}" }
routes:
  - upstream: http://127.0.0.1:1
`), func(name string) (string, bool) { return "word-that-is-secret", name == "S" })
	if err != nil {
		t.Fatal(err)
	}
	o := c.Providers()[0]
	if got, err := o.Secret(); err != nil || got.Reveal() != "word-that-is-secret" {
		t.Errorf("got %v, %v, want the secret of the variable", got, err)
	}
	if o.Name != "oidc" || o.Label != "oidc" || o.ClientAuth != "client_secret_basic" || o.Kind != "generic" ||
		o.WithoutRefreshToken != "access_token" || o.Timeout != 20*time.Second {
		t.Errorf("got %+v, want the defaults filled in", o)
	}
	var out strings.Builder
	if err := c.WriteEffective(&out); err != nil || strings.Contains(out.String(), "word-that") || !strings.Contains(out.String(), "client_secret: '[redacted]'") {
		t.Errorf("got %v and\n%s\nwant the secret masked", err, &out)
	}
	var warned strings.Builder
	config.Faults(c.Warnings()).Draw(&warned, false)
	if !strings.Contains(warned.String(), "keep it in one of its own") || strings.Contains(warned.String(), "word-that") {
		t.Errorf("got\n%s\nwant a warning that does not tell the secret", &warned)
	}
}

func TestSecretFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	o := config.OIDC{Name: "corp", ClientSecretFile: file}
	if _, err := o.Secret(); err == nil {
		t.Error("a file that is not there: got no error")
	}
	for text, want := range map[string]string{"word\n": "word", "\n": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := o.Secret()
		if (err == nil) != (want != "") || got.Reveal() != want {
			t.Errorf("%q: got %v, %v, want %q", text, got.Reveal() == want, err, want)
		}
	}
}

// TestRewritingInTheEffectiveConfig: what is shown reads as what was read.
func TestRewritingInTheEffectiveConfig(t *testing.T) {
	text := head + "  - { match: { path: /w/ }, strip_prefix: /w, add_prefix: /app, host: upstream, upstream: \"http://127.0.0.1:1\",\n" +
		"      request_headers: { set: { X-B: \"{user}\", X-A: \"{{\" }, add: { X-C: \"1\" }, remove: [X-D] }, response_headers: { remove: [Server] } }\n" +
		"  - { match: { path: /r/ }, rewrite: { path: \"^/r/(?P<p>.*)$\", to: \"/$${p}\" }, upstream: \"http://127.0.0.1:1\" }\n"
	first := ""
	for range 2 {
		c, err := config.Parse("x", []byte(text), noEnv)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		r := c.Routes[0]
		if r.StripPrefix != "/w" || r.AddPrefix != "/app" || r.Host != "upstream" || len(r.RequestHeaders.Set) != 2 || r.RequestHeaders.Add["X-C"] != "1" ||
			r.RequestHeaders.Remove[0] != "X-D" || r.ResponseHeaders.Remove[0] != "Server" || c.Routes[1].Rewrite.To != "/${p}" {
			t.Errorf("got %+v", c.Routes)
		}
		var b strings.Builder
		if err := c.WriteEffective(&b); err != nil {
			t.Fatal(err)
		}
		if text = b.String(); first == "" {
			first = text
		}
	}
	if text != first {
		t.Errorf("got\n%s\nwant\n%s", text, first)
	}
}
