//go:build unix

package main

import (
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/idp"
)

// signInThere signs in at a provider, and reports whether the gateway took it.
func (p *process) signInThere(op *oidctest.Provider) (*http.Client, bool) {
	p.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.Cleanup(c.CloseIdleConnections)
	res, err := c.Get(p.base + "/.evergate/login/corp")
	if err != nil {
		p.Fatal(err)
	}
	res.Body.Close()
	to := res.Header.Get("Location")
	if !strings.HasPrefix(to, op.Issuer) {
		return c, false
	}
	back := op.SignIn(p.T, nil, to, "alice", oidctest.Alice.Password)
	if res, err = c.Get(back.String()); err != nil {
		p.Fatal(err)
	}
	res.Body.Close()
	return c, p.status(c) == 200
}

func (p *process) status(c *http.Client) int {
	p.Helper()
	res, err := c.Get(p.base + "/")
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// TestReloadOfAProvider: a client secret that changes in its file is used from then on,
// whoever is signed in stays so; a provider that is removed takes its sessions with it.
func TestReloadOfAProvider(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	p := newProcess(t, app.URL)
	op := oidctest.Start(t, oidctest.Redirects(p.base+"/.evergate/callback/corp"))
	file := filepath.Join(filepath.Dir(p.file), "secret")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(op.ClientSecret)
	entry := "  - oidc: { name: corp, issuer: " + op.Issuer + ", client_id: " + op.ClientID + ", client_secret_file: secret }\n"
	p.edit("routes:", entry+"routes:")
	p.start()
	defer p.kill()
	alice, ok := p.signInThere(op)
	if !ok {
		t.Fatal("nobody can sign in at the provider")
	}

	op.ChangeClient(func(c *idp.Client) { c.Secret = "the next secret of the client" })
	if _, ok := p.signInThere(op); ok {
		t.Fatal("the provider takes the old secret, and this test shows nothing")
	}
	write("the next secret of the client")
	p.within("a sign-in with the next secret", func() bool { _, ok := p.signInThere(op); return ok })
	p.within("the log that names the file", func() bool { return strings.Contains(p.out.String(), `"changed":["`+file+`"]`) })
	if got := p.status(alice); got != 200 {
		t.Errorf("whoever was signed in: got %d, want 200", got)
	}

	p.edit(entry, "")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.within("the end of the provider's sessions", func() bool { return p.status(alice) == 401 })
}

// TestProvidersThatDidNotChangeAreKept: with all that is known of them.
func TestProvidersThatDidNotChangeAreKept(t *testing.T) {
	dir := t.TempDir()
	load := func(entry string) *config.Config {
		t.Helper()
		cfg, err := config.Parse("evergate.yaml", []byte("public_url: http://localhost:8080\nidentity:\n  - oidc: { "+entry+" }\n"+
			"routes: [ { upstream: \"http://127.0.0.1:9\" } ]\n"), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		cfg.DataDir = filepath.Join(dir, "data")
		return cfg
	}
	const same = "issuer: https://login.example.com, client_id: evergate, client_secret: secret"
	g, err := build(load(same), slog.New(slog.DiscardHandler), parts{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, c := range []struct {
		name, entry string
		kept        bool
	}{
		{"nothing", same, true},
		{"its label", same + ", label: Corp", true},
		{"a scope", same + ", scopes: [openid]", false},
		{"its secret", strings.Replace(same, "secret: secret", "secret: other", 1), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := g.current.Load().providers[0].Method
			cfg := load(c.entry)
			if err := g.apply(cfg); err != nil {
				t.Fatal(err)
			}
			now := g.current.Load().providers[0]
			if got := now.Method == before; got != c.kept || now.Label != cfg.Providers()[0].Label {
				t.Errorf("kept: got %v with label %s, want %v", got, now.Label, c.kept)
			}
		})
	}
}

// TestReloadOfAnUpstreamsCA: what a file of an upstream's tls holds counts, not its name.
func TestReloadOfAnUpstreamsCA(t *testing.T) {
	t.Parallel()
	app := httptest.NewTLSServer(http.HandlerFunc(echo))
	defer app.Close()
	p := newProcess(t, app.URL)
	file := filepath.Join(filepath.Dir(p.file), "ca.pem")
	write := func(der []byte) {
		t.Helper()
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := newFrontGate(t, p.bin)
	write(g.certificate(1, time.Now().Add(time.Hour)).Raw) // of somebody else
	p.edit("- upstream: "+app.URL, "- upstream: { targets: ["+app.URL+"], tls: { ca_file: ca.pem } }")
	p.start()
	defer p.kill()
	b := newBrowser(t)
	if _, err := b.post(p.base, "/.evergate/login", url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/"}}); err != nil {
		t.Fatal(err)
	}
	if code, err := b.get(t.Context(), p.base); err != nil || code != 502 {
		t.Fatalf("with another CA: got %d, %v, want 502", code, err)
	}
	write(app.Certificate().Raw)
	p.within("the app, by its own CA", func() bool { code, err := b.get(t.Context(), p.base); return err == nil && code == 200 })
}
