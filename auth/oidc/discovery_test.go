package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

// TestLazy: a gateway starts and serves while its provider is down, and signs in
// by itself when it is back.
func TestLazy(t *testing.T) {
	p := newOP(t)
	p.handle(pathMeta, says(503, ""))
	m := p.method()
	if p.count(pathMeta) != 0 || m.State().Discovered {
		t.Errorf("got %d requests before anybody came", p.count(pathMeta))
	}
	_, err := m.Begin(t.Context(), p.flow())
	unavailable(t, "while it is down", err)
	if s := m.State(); s.Discovered || s.LastError == "" {
		t.Errorf("state: got %+v, want the outage", s)
	}
	for range 50 { // people press reload
		_, err = m.Begin(t.Context(), p.flow())
		unavailable(t, "while it is down", err)
	}
	if n := p.count(pathMeta); n > 3 {
		t.Errorf("got %d requests to a dead provider, want few", n)
	}
	p.handle(pathMeta, nil)
	p.advance(time.Minute)
	p.signIn(m)
	if !m.State().Discovered {
		t.Error("state: got undiscovered after a sign-in")
	}
}

func TestDiscoveryIsFetchedOnce(t *testing.T) {
	p := newOP(t)
	p.handle(pathMeta, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(50 * time.Millisecond)
		p.mu.Lock()
		delete(p.handlers, pathMeta)
		p.mu.Unlock()
		p.ServeHTTP(w, r)
	})
	m := p.method()
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := m.Begin(t.Context(), p.flow()); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if n := p.count(pathMeta); n > 2 { // the handler above counts itself twice
		t.Errorf("got %d requests, want one", n-1)
	}
}

func TestMetadataThatAreNotBelieved(t *testing.T) {
	set := func(name string, v any) func(map[string]any) { return func(md map[string]any) { md[name] = v } }
	for name, row := range map[string]struct {
		meta func(map[string]any)
		h    http.HandlerFunc
		says string
	}{
		"another issuer":        {set("issuer", "https://evil.example"), nil, "issuer"},
		"the issuer with a /":   {func(md map[string]any) { md["issuer"] = md["issuer"].(string) + "/" }, nil, "issuer"},
		"no issuer":             {set("issuer", nil), nil, "issuer"},
		"for many tenants":      {set("issuer", "https://login.example.com/{tenantid}/v2.0"), nil, "tenant"},
		"keys in the cloud":     {set("jwks_uri", "http://169.254.169.254/latest"), nil, "jwks_uri"},
		"a token endpoint http": {set("token_endpoint", "http://login.example.com/token"), nil, "token_endpoint"},
		"no token endpoint":     {set("token_endpoint", nil), nil, "token_endpoint"},
		"an endpoint of words":  {set("authorization_endpoint", "javascript:alert(1)"), nil, "authorization_endpoint"},
		"a file":                {set("userinfo_endpoint", "file:///etc/passwd"), nil, "userinfo_endpoint"},
		"revocation over http":  {set("revocation_endpoint", "http://login.example.com/r"), nil, "revocation_endpoint"},
		"introspection too":     {set("introspection_endpoint", "http://login.example.com/i"), nil, "introspection_endpoint"},
		"a page":                {nil, says(200, "<html>", "Content-Type", "text/html"), ""},
		"a redirect":            {nil, says(302, "", "Location", "https://evil.example/"), "redirect"},
		"404":                   {nil, says(404, ""), "404"},
		"too much":              {nil, says(200, `{"x":"`+strings.Repeat("x", 2<<20)+`"}`), ""},
		"no JSON":               {nil, says(200, "{"), ""},
		"a text for a list":     {set("scopes_supported", "openid"), nil, ""},
	} {
		p := newOP(t)
		p.set(func() { p.meta = row.meta })
		if row.h != nil {
			p.handle(pathMeta, row.h)
		}
		m := p.method()
		_, err := m.Begin(t.Context(), p.flow())
		unavailable(t, name, err)
		if err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: got %v, want it to say %s", name, err, row.says)
		}
	}
}

// TestLastGoodMetadata: a provider that breaks keeps what it said when it was well.
func TestLastGoodMetadata(t *testing.T) {
	p := newOP(t)
	m := p.method()
	p.signIn(m)
	p.handle(pathMeta, says(500, ""))
	for range 5 {
		p.advance(2 * time.Hour)
		p.signIn(m)
		time.Sleep(20 * time.Millisecond) // the refresh beside
	}
	if n := p.count(pathMeta); n < 2 {
		t.Errorf("got %d requests, want some in the background", n)
	}
	p.handle(pathMeta, nil)
	p.set(func() { p.meta = func(md map[string]any) { md["end_session_endpoint"] = p.srv.URL + "/elsewhere" } })
	p.advance(25 * time.Hour)
	eventually(t, "the new metadata", func() bool {
		p.signIn(m)
		to, err := m.LogoutURL(t.Context(), &auth.Login{}, "https://apps.test/", "s")
		return err == nil && strings.HasPrefix(to, p.srv.URL+"/elsewhere?")
	})
}

func TestMaxAgeOfMetadata(t *testing.T) {
	for header, row := range map[string]struct{ kept, over time.Duration }{
		"max-age=600":     {9 * time.Minute, 11 * time.Minute},
		"max-age=1":       {4 * time.Minute, 6 * time.Minute},
		"no-store":        {4 * time.Minute, 6 * time.Minute},
		"max-age=9999999": {23 * time.Hour, 25 * time.Hour},
	} {
		p := newOP(t)
		p.set(func() { p.cacheControl = header })
		m := p.method()
		begin(t, p, m, p.flow())
		p.advance(row.kept)
		begin(t, p, m, p.flow())
		time.Sleep(20 * time.Millisecond)
		if n := p.count(pathMeta); n != 1 {
			t.Errorf("%s: got %d requests after %v, want 1", header, n, row.kept)
		}
		p.advance(row.over - row.kept)
		begin(t, p, m, p.flow())
		eventually(t, header+" is over", func() bool { return p.count(pathMeta) == 2 })
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("%s: it did not come", what)
}

func TestClosedMethodAsksNobody(t *testing.T) {
	p := newOP(t)
	m := p.method()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Complete(t.Context(), p.flow(), url.Values{"code": {"code-word"}}); err == nil {
		t.Error("a closed Method signed somebody in")
	}
	if n := p.count(pathMeta); n != 0 {
		t.Errorf("got %d requests", n)
	}
}

func TestRetryAfterOfDiscovery(t *testing.T) {
	p := newOP(t)
	p.handle(pathMeta, says(503, "", "Retry-After", "120"))
	m := p.method()
	_, err := m.Begin(t.Context(), p.flow())
	if u := unavailable(t, "503", err); u != nil && u.RetryAfter != 2*time.Minute {
		t.Errorf("got %v, want what the provider asked for", u.RetryAfter)
	}
	p.advance(time.Minute)
	_, _ = m.Begin(t.Context(), p.flow())
	if n := p.count(pathMeta); n != 1 {
		t.Errorf("asked %d times, want it left alone", n)
	}
	p.handle(pathMeta, nil)
	p.advance(2 * time.Minute)
	p.signIn(m)
}

func TestState(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	if s := m.State(); s.Issuer != p.srv.URL || !s.Discovered || s.Open || s.LastError != "" {
		t.Errorf("got %+v, want it well", s)
	}
	began := p.now()
	p.handle(pathToken, says(503, ""))
	for range 3 {
		_, _ = m.Refresh(t.Context(), login, "")
		p.advance(time.Minute)
	}
	if s := m.State(); s.LastError == "" || !s.Since.Equal(began) {
		t.Errorf("got %+v, want the trouble since %v", s, began)
	}
	p.handle(pathToken, nil)
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Fatal(err)
	}
	if s := m.State(); s.LastError != "" {
		t.Errorf("got %+v, want it well again", s)
	}
}
