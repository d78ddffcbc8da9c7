package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
)

const protected = `
public_url: https://apps.example.com
identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { path: /a }, upstream: "http://127.0.0.1:1", csrf: on, secure_headers: basic, rate_limit: { requests: 100, per: 1m, burst: 20, by: address } }
  - match: { path: /b }
    upstream: http://127.0.0.1:1
    csrf: { except: [/hook, /saml/], origins: ["https://portal.example.com"] }
    secure_headers: { level: strict, overwrite: true, except: [permissions-policy], set: { content-security-policy: "default-src 'self' ${CDN}" } }
    rate_limit:
      - { requests: 10, per: 1s }
      - { requests: 1000, per: 1h, by: user_and_address }
  - { match: { path: /c }, upstream: "http://127.0.0.1:1", csrf: off }
  - { match: { path: /d }, upstream: "http://127.0.0.1:1", csrf: "${SHIELD}" }
  - { match: { path: /e }, upstream: "http://127.0.0.1:1" }
`

func protectedEnv(name string) (string, bool) {
	return map[string]string{"SHIELD": "on", "CDN": "https://cdn.example.com"}[name], true
}

// TestProtection: what is written in short means the same as what is written out.
func TestProtection(t *testing.T) {
	c, err := config.Parse("x", []byte(protected), protectedEnv)
	if err != nil {
		t.Fatal(err)
	}
	on := &config.CSRF{}
	for i, want := range []config.Route{
		{CSRF: on, SecureHeaders: &config.SecureHeaders{Level: "basic"}, RateLimits: config.RateLimits{{Requests: 100, Per: time.Minute, Burst: 20, By: "address"}}},
		{CSRF: &config.CSRF{Except: []string{"/hook", "/saml/"}, Origins: []string{"https://portal.example.com"}},
			SecureHeaders: &config.SecureHeaders{Level: "strict", Overwrite: true, Except: []string{"permissions-policy"},
				Set: map[string]string{"content-security-policy": "default-src 'self' https://cdn.example.com"}},
			RateLimits: config.RateLimits{{Requests: 10, Per: time.Second, Burst: 10, By: "user"}, {Requests: 1000, Per: time.Hour, Burst: 1000, By: "user_and_address"}}},
		{}, {CSRF: on}, {},
	} {
		got := &c.Routes[i]
		if !reflect.DeepEqual(got.CSRF, want.CSRF) || !reflect.DeepEqual(got.SecureHeaders, want.SecureHeaders) || !reflect.DeepEqual(got.RateLimits, want.RateLimits) {
			t.Errorf("route %d: got %+v, %+v, %+v", i, got.CSRF, got.SecureHeaders, got.RateLimits)
		}
	}
}

// TestEffectiveProtection: what config show writes is a config that says the same.
func TestEffectiveProtection(t *testing.T) {
	c, err := config.Parse("x", []byte(protected), protectedEnv)
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	if err := c.WriteEffective(&shown); err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("effective", []byte(shown.String()), noEnv)
	if err != nil {
		t.Fatalf("%v in\n%s", err, &shown)
	}
	if paths := config.Diff(c, again); len(paths) != 0 {
		t.Errorf("they differ in %v:\n%s", paths, &shown)
	}
	for _, want := range []string{"csrf: on\n", "secure_headers: basic\n", "burst: 1000\n", "by: user\n"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, &shown)
		}
	}
}

// TestProtectionDiffers: a reload tells what changes.
func TestProtectionDiffers(t *testing.T) {
	a, err := config.Parse("x", []byte(protected), protectedEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, to, want string }{
		{"csrf: off", "csrf: on", "routes[2].csrf"},
		{"requests: 100,", "requests: 101,", "routes[0].rate_limit[0].requests"},
		{"secure_headers: basic", "secure_headers: strict", "routes[0].secure_headers.level"},
	} {
		b, err := config.Parse("x", []byte(strings.Replace(protected, tt.from, tt.to, 1)), protectedEnv)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.Diff(a, b); !reflect.DeepEqual(got, []string{tt.want}) {
			t.Errorf("%s: got %v, want %s", tt.to, got, tt.want)
		}
	}
}

// TestProtectionWarnings: replacing an app's own policy by one that nobody wrote for it is
// allowed, and said.
func TestProtectionWarnings(t *testing.T) {
	text := strings.Replace(protected, "secure_headers: basic", "secure_headers: { level: strict, overwrite: true }", 1)
	c, err := config.Parse("x", []byte(text), protectedEnv)
	if err != nil {
		t.Fatal(err)
	}
	all := config.Faults(c.Warnings()).Error()
	if want := "routes[0].secure_headers.overwrite: warning: a Content-Security-Policy of the app is replaced"; !strings.Contains(all, want) || strings.Contains(all, "routes[1].secure_headers") {
		t.Errorf("got %q, want %q alone", all, want)
	}
}
