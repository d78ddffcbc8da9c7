package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
)

// TestExplainAndTheGateNeverDisagree: over random configs, people and requests the whole
// gateway, with real sessions, cookies and an app, does what explain says of it: the same
// decision, the same answer of its own, the same request at the app.
func TestExplainAndTheGateNeverDisagree(t *testing.T) {
	t.Parallel()
	var up http.Header
	var upPath string
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { up, upPath = r.Header.Clone(), r.RequestURI }))
	defer app.Close()
	configs := 120
	if testing.Short() {
		configs = 20
	}
	seen := map[string]int{}
	for seed := range uint64(configs) {
		rnd := dice{rand.New(rand.NewPCG(seed, 6))}
		text := rnd.config(app.URL)
		cfg, err := config.Parse("random.yaml", []byte(text), os.LookupEnv)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		var lines bytes.Buffer
		g, err := build(cfg, slog.New(slog.NewJSONHandler(&lines, nil)), parts{Users: []local.User{}})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		r, err := newRehearsal(cfg)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 40 {
			s, target := rnd.scene()
			req := httptest.NewRequest(s.Method, s.URL.String(), nil)
			req.RequestURI, req.Header, req.RemoteAddr = target, s.Header.Clone(), netip.AddrPortFrom(s.Address, 4711).String()
			if s.Who != nil {
				begun := http.Header{}
				login := *s.Who
				login.AccessToken = auth.Token{Value: secret.New("opaque"), Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
				if err := g.sessions.Begin(begun, httptest.NewRequest("GET", s.URL.String(), nil), &login, false); err != nil {
					t.Fatal(err)
				}
				for _, c := range (&http.Response{Header: begun}).Cookies() {
					req.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
				}
			}
			up = nil
			lines.Reset()
			s.Time = time.Now()
			rec := httptest.NewRecorder()
			g.Public.ServeHTTP(rec, req)
			e := r.explain(s, r.play(context.Background(), s))
			if time.Now().UTC().YearDay() != s.Time.UTC().YearDay() {
				continue // a rule about days may say two things about it
			}
			seen[e.Decision]++
			if wrong := disagreement(e, rec, up, upPath, decisionIn(lines.String())); wrong != "" {
				var said strings.Builder
				_ = e.write(&said)
				t.Fatalf("seed %d: %s\n%s\n%s\nthe gateway: %d %v", seed, wrong, text, &said, rec.Code, rec.Header())
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("decisions: %v", seen)
	for _, decision := range []string{"allowed", "public", "login", "step-up", "denied", "refused"} {
		if seen[decision] == 0 {
			t.Errorf("%s never came up: the test sees too little", decision)
		}
	}
}

// decisionIn is the word of the access line.
func decisionIn(lines string) string {
	for line := range strings.Lines(lines) {
		var l struct{ Msg, Decision string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "request" {
			return l.Decision
		}
	}
	return ""
}

func disagreement(e *explanation, rec *httptest.ResponseRecorder, up http.Header, upPath, decision string) string {
	// Signing in is "login" in the line whatever it is for.
	if e.Decision != decision && !(e.Decision == "step-up" && decision == "login") {
		return fmt.Sprintf("explain decides %s, the gateway %s", e.Decision, decision)
	}
	if (e.Upstream == nil) != (up == nil) {
		return fmt.Sprintf("explain sends %v up, the gateway %v", e.Upstream, up)
	}
	if up != nil {
		if u, err := url.Parse(e.Upstream.URL); err != nil || u.RequestURI() != upPath {
			return fmt.Sprintf("explain sends %s up, the gateway %s", e.Upstream.URL, upPath)
		}
		for _, name := range []string{"X-Forwarded-User", "X-Forwarded-Groups", "X-Forwarded-Email", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Cookie"} {
			if got, want := e.Upstream.Header.Get(name), up.Get(name); got != want {
				return fmt.Sprintf("explain sends %s %q up, the gateway %q", name, got, want)
			}
		}
		return ""
	}
	if e.Browser.Status != rec.Code {
		return fmt.Sprintf("explain answers %d, the gateway %d", e.Browser.Status, rec.Code)
	}
	for _, name := range []string{"Location", "Www-Authenticate", "Cache-Control", "Allow"} {
		if got, want := e.Browser.Header.Get(name), rec.Header().Get(name); got != want {
			return fmt.Sprintf("explain answers %s %q, the gateway %q", name, got, want)
		}
	}
	return ""
}

// dice makes random configs, people and requests.
type dice struct{ *rand.Rand }

func (d dice) of(words ...string) string { return words[d.IntN(len(words))] }

func (d dice) some(words ...string) string {
	var out []string
	for _, w := range words {
		if d.IntN(3) == 0 {
			out = append(out, w)
		}
	}
	if out == nil {
		out = []string{d.of(words...)}
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func (d dice) rule(allow bool) string {
	conditions := []func() string{
		func() string { return "users: " + d.some("corp/alice", "corp/bob", "corp/carol") },
		func() string { return "emails: " + d.some(`"*@example.org"`, "alice@example.com") },
		func() string { return "groups: " + d.some("staff", "admin", "guests") },
		func() string {
			return "claims: " + d.of("{ dept: it }", "{ realm.roles: [a, b] }", `{ dept: { glob: "i*" } }`, "{ level: 3 }", "{ dept: { exists: false } }")
		},
		func() string { return "providers: " + d.of("[corp]", "[local]") },
		func() string { return "methods: " + d.some("GET", "POST", "DELETE") },
		func() string { return "networks: " + d.some("10.0.0.0/8", `"2001:db8::/32"`, "192.0.2.1") },
		func() string {
			return `times: [{ days: ` + d.some("mon", "tue", "wed", "thu", "fri", "sat", "sun") + `, from: "00:00", to: "24:00" }]`
		},
		func() string { return "acr: " + d.some("mfa", "phr") },
		func() string { return "amr: " + d.some("otp", "hwk") },
		func() string {
			return "when: '" + d.of(`"staff" in identity.groups`, `request.method == "GET"`, `request.path startsWith "/a" and identity.user != ""`,
				`session.auth_age < duration("5m")`, `identity.claims.dept == "it"`, `identity.claims.realm.roles[0] == "a"`,
				`within(request.address, "10.0.0.0/8")`, `request.header("X-Kind") == "x"`, `identity.email endsWith "@example.org"`) + "'"
		},
	}
	if allow {
		conditions = append(conditions, func() string { return "max_auth_age: " + d.of("5m", "1h") })
	}
	d.Shuffle(len(conditions), func(i, j int) { conditions[i], conditions[j] = conditions[j], conditions[i] })
	var out []string
	for _, c := range conditions[:1+d.IntN(2)] {
		out = append(out, c())
	}
	return "{ " + strings.Join(out, ", ") + " }"
}

func (d dice) rules(key string, most int) string {
	var b strings.Builder
	for i := range d.IntN(most + 1) {
		if i == 0 {
			fmt.Fprintf(&b, "    %s:\n", key)
		}
		fmt.Fprintf(&b, "      - %s\n", d.rule(key == "allow"))
	}
	return b.String()
}

func (d dice) config(app string) string {
	var b strings.Builder
	if d.IntN(2) == 0 {
		b.WriteString("session: { cookie: { name: __Host-door } }\n")
	}
	b.WriteString("public_url: https://apps.example.com\ntrusted_proxies: [10.9.9.9]\nidentity:\n" +
		"  - local: { users_file: users.yaml }\n  - oidc: { name: corp, issuer: \"http://127.0.0.1:1\", client_id: e, client_secret: s }\nrules:\n")
	fmt.Fprintf(&b, "  one:\n    allow:\n      - %s\n%s", d.rule(true), d.rules("deny", 1))
	fmt.Fprintf(&b, "  two:\n    deny:\n      - %s\n", d.rule(false))
	fmt.Fprintf(&b, "  three:\n    mode: observe\n    allow:\n      - %s\n", d.rule(true))
	if d.IntN(2) == 0 {
		fmt.Fprintf(&b, "default:\n%s    rules: [two]\n", d.rules("allow", 2))
	}
	b.WriteString("routes:\n")
	for _, match := range []string{"{ path: / }", "{ path: /a/, methods: [GET, POST] }", "{ path: /a/b }", "{ host: x.example.com }", `{ host: "*.example.com", path: "/*/c" }`, "{ path: /open/ }"} {
		fmt.Fprintf(&b, "  - match: %s\n    upstream: %s\n", match, app)
		if strings.Contains(match, "open") {
			fmt.Fprintf(&b, "    public: true\n%s", d.rules("deny", 2))
			continue
		}
		b.WriteString(d.rules("allow", 3) + d.rules("deny", 1))
		if d.IntN(2) == 0 {
			fmt.Fprintf(&b, "    rules: %s\n", d.some("one", "two", "three"))
		}
		if d.IntN(4) == 0 {
			b.WriteString("    providers: [local]\n")
		}
	}
	return b.String()
}

// scene is a request, and its target as it goes over the wire.
func (d dice) scene() (scene, string) {
	path := d.of("/", "/a/", "/a/b", "/a/x", "/q/c", "/open/x", "/open", "/a//b", "/a/%2e%2e/b")
	if d.IntN(4) == 0 { // as nobody should write it, beside what is escaped
		path += d.of("<", "{", "\"", "ä", "|", "") + d.of("%2f", "%3b", "%3A", "%41", "") + d.of("x", "^", "`")
	}
	target := path + d.of("", "?x=1")
	at, _ := url.Parse("https://" + d.of("apps.example.com", "x.example.com", "y.x.example.com", "other.test") + target)
	s := scene{Method: d.of("GET", "GET", "POST", "DELETE", "HEAD", "OPTIONS"), URL: at,
		Header:  http.Header{"Cookie": {"theme=dark; __Host-evergate-left=1; __Host-door-left=1"}},
		Address: netip.MustParseAddr(d.of("10.1.2.3", "192.0.2.1", "2001:db8::7", "10.9.9.9"))}
	if d.IntN(16) == 0 { // as no browser sends it
		s.Fragment = d.of("#", "#x", "#/a/b")
		target += s.Fragment
	}
	if d.IntN(2) == 0 {
		s.Header.Set("Accept", "text/html")
		s.Header.Set("Sec-Fetch-Mode", "navigate")
		s.Header.Set("Sec-Fetch-Dest", d.of("document", "iframe"))
	} else {
		s.Header.Set("Accept", "application/json")
	}
	if d.IntN(3) == 0 {
		s.Header.Set("X-Kind", "x")
	}
	if d.IntN(3) == 0 {
		s.Header.Set("X-Forwarded-For", "10.1.1.1")
	}
	if d.IntN(5) == 0 {
		return s, target
	}
	name := d.of("alice", "bob", "carol")
	s.Who = &auth.Login{Identity: auth.Identity{Provider: "corp", Subject: name, User: "corp/" + name, PreferredUsername: name,
		Email: name + d.of("@example.org", "@example.com"), EmailVerified: d.IntN(3) > 0}, AuthTime: time.Now().Add(-30 * time.Second).Truncate(time.Second)}
	id := &s.Who.Identity
	for _, g := range []string{"staff", "admin", "guests"} {
		if d.IntN(2) == 0 {
			id.Groups = append(id.Groups, g)
		}
	}
	id.Claims = map[string]any{"sub": name}
	if d.IntN(2) == 0 {
		id.Claims["dept"] = d.of("it", "hr")
	}
	if d.IntN(2) == 0 {
		id.Claims["realm"] = map[string]any{"roles": []any{d.of("a", "z")}}
	}
	if d.IntN(2) == 0 {
		id.Claims["level"] = float64(d.IntN(5))
	}
	s.Who.ACR = d.of("", "mfa", "phr")
	if d.IntN(2) == 0 {
		s.Who.AMR = []string{d.of("otp", "pwd", "hwk")}
	}
	switch d.IntN(4) {
	case 0:
		s.Who.AuthTime = time.Time{}
	case 1:
		s.Who.AuthTime = time.Now().Add(-20 * time.Minute).Truncate(time.Second)
	case 2:
		s.Who.AuthTime = time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	}
	return s, target
}
