package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/config"
)

const publicHost = "http://apps.localhost:8080"

// newProviderHostsBed is newHostsBed where people sign in at a provider.
func newProviderHostsBed(t *testing.T) (*hostsBed, *oidctest.Provider) {
	t.Helper()
	p := oidctest.Start(t, oidctest.Redirects(publicHost+"/.evergate/callback/oidc"))
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s at %s%s", r.Header.Get("X-Forwarded-User"), r.Host, r.RequestURI)
	}))
	t.Cleanup(app.Close)
	dir := t.TempDir()
	secret, file := filepath.Join(dir, "secret"), filepath.Join(dir, "evergate.yaml")
	if err := os.WriteFile(secret, []byte(p.ClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(fmt.Sprintf(`public_url: %[1]s
data_dir: %[2]s
identity: [ oidc: { issuer: %[3]q, client_id: evergate, client_secret_file: %[4]q } ]
routes:
  - { match: { host: wiki.localhost }, upstream: %[5]q }
  - { match: { host: staff.localhost }, allow: [ { users: [nobody] } ], upstream: %[5]q }
  - { upstream: %[5]q }
`, publicHost, filepath.Join(dir, "data"), p.Issuer, secret, app.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	b := &hostsBed{T: t, log: &lockedBuffer{}}
	b.g, err = build(cfg, slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})), parts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.g.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, p
}

// signInAt opens address, signs in at the provider where that leads to, and follows to
// the end.
func (v *wanderer) signInAt(p *oidctest.Provider, address, name, password string) (string, *http.Response) {
	v.b.Helper()
	at, res := v.to(address, p.Issuer)
	if !strings.HasPrefix(at, p.Issuer) {
		return at, res
	}
	return v.to(p.SignIn(v.b, p.Browser(v.b), at, name, password).String(), "")
}

func TestLongAddressesAreHandedOverFromAProvider(t *testing.T) {
	b, p := newProviderHostsBed(t)
	for name, rd := range map[string]string{
		"many ampersands": "/page?" + strings.Repeat("a=1&", 300),
		"some ampersands": "/page?" + strings.Repeat("&", 240),
		"long":            "/page?" + strings.Repeat("a", 1700),
	} {
		v := b.wanderer()
		at, res := v.signInAt(p, wikiHost+rd, "alice", oidctest.Alice.Password)
		if body, _ := io.ReadAll(res.Body); string(body) != "subject-of-alice at wiki.localhost:8080"+rd {
			t.Errorf("%s: got %d %.60q at %.60s", name, res.StatusCode, body, at)
		}
	}
	// What is after the "#" comes by the script of the sign-in page. Any of it may be
	// lost, and nobody is kept out by it.
	for _, size := range []int{500, 1000, 1700, 3000} {
		v := b.wanderer()
		at, _ := v.to(wikiHost+"/page?"+strings.Repeat("a", 230), publicHost)
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		query := url.Values{"to": {u.Query().Get("to")}, "rd": {"/#" + strings.Repeat("f", size)}}
		at, res := v.signInAt(p, publicHost+"/.evergate/login/oidc?"+query.Encode(), "alice", oidctest.Alice.Password)
		if body, _ := io.ReadAll(res.Body); !strings.HasPrefix(string(body), "subject-of-alice at wiki.localhost:8080/page?aaa") {
			t.Errorf("%d bytes after the #: got %d at %.60s", size, res.StatusCode, at)
		}
	}
}
