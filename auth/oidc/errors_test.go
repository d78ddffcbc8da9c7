package oidc_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
)

// TestErrorClasses is R4.
func TestErrorClasses(t *testing.T) {
	const no, away, unclear = "no", "away", "unclear"
	for name, row := range map[string]struct {
		h    http.HandlerFunc
		kind string
		want string
	}{
		"400 invalid_grant":             {says(400, `{"error":"invalid_grant","error_description":"refresh-1 is spent"}`), "", no},
		"401 invalid_grant":             {says(401, `{"error":"invalid_grant"}`), "", no},
		"dex: 400 invalid_request":      {says(400, `{"error":"invalid_request"}`), "dex", no},
		"dex: 500 invalid_request":      {says(500, `{"error":"invalid_request"}`), "dex", away},
		"400 invalid_request":           {says(400, `{"error":"invalid_request"}`), "", unclear},
		"400 invalid_scope":             {says(400, `{"error":"invalid_scope"}`), "", unclear},
		"400 invalid_target":            {says(400, `{"error":"invalid_target"}`), "", unclear},
		"400 unsupported_grant_type":    {says(400, `{"error":"unsupported_grant_type"}`), "", unclear},
		"400 without words":             {says(400, ``), "", unclear},
		"403 a firewall's page":         {says(403, `<html>`, "Content-Type", "text/html"), "", unclear},
		"404":                           {says(404, `not found`), "", unclear},
		"400 and invalid_grant in text": {says(400, `{"error":"other","error_description":"invalid_grant"}`), "", unclear},
		"401 invalid_client":            {says(401, `{"error":"invalid_client"}`), "", away},
		"400 invalid_client":            {says(400, `{"error":"invalid_client"}`), "", away},
		"400 unauthorized_client":       {says(400, `{"error":"unauthorized_client"}`), "", away},
		"429":                           {says(429, ``), "", away},
		"429 invalid_grant":             {says(429, `{"error":"invalid_grant"}`), "", away},
		"500 invalid_grant":             {says(500, `{"error":"invalid_grant"}`), "", away},
		"503 invalid_grant":             {says(503, `{"error":"invalid_grant"}`), "", away},
		"502 a page":                    {says(502, `<html>`, "Content-Type", "text/html"), "", away},
		"200 a page":                    {says(200, `<html>`, "Content-Type", "text/html"), "", away},
		"200 and half of it":            {says(200, `{"access_token":"a`), "", away},
		"200 an error":                  {says(200, `{"error":"invalid_grant"}`), "", away},
		"200 empty":                     {says(200, `{}`), "", away},
		"200 too much":                  {says(200, strings.Repeat(" ", 2<<20)), "", away},
		"302":                           {says(302, ``, "Location", "/elsewhere"), "", away},
		"it hangs up":                   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", away},
		"it breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = fmt.Fprint(w, `{"access_token":`)
		}, "", away},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			m := p.method(func(c *oidc.Config) { c.Kind = row.kind })
			old := p.signIn(m)
			p.handle(pathToken, row.h)
			_, err := m.Refresh(t.Context(), old, "")
			_, refused := errors.AsType[*auth.Refused](err)
			_, out := errors.AsType[*auth.Unavailable](err)
			_, typed := errors.AsType[*oidc.Error](err)
			got := map[bool]string{refused: no, out: away, typed && !refused && !out: unclear}[true]
			if got != row.want {
				t.Errorf("got %T %v, want class %q", err, err, row.want)
			}
			if err != nil && (strings.Contains(err.Error(), "refresh-1") || strings.Contains(err.Error(), "spent")) {
				t.Errorf("the error repeats what the provider said: %v", err)
			}
			if p.count(pathToken) != 2 {
				t.Errorf("got %d requests, want one for the sign-in and one for the renewal", p.count(pathToken))
			}
		})
	}
}

func TestBadAccessTokenKeepsTheRefreshToken(t *testing.T) {
	p := newOP(t)
	m := p.method()
	old := p.signIn(m)
	p.handle(pathToken, says(200, `{"token_type":"DPoP","access_token":"access-x","refresh_token":"refresh-x"}`))
	fresh, err := m.Refresh(t.Context(), old, "")
	if err != nil || fresh.RefreshToken.Reveal() != "refresh-x" {
		t.Errorf("got %v, %v, want the new refresh token kept", fresh, err)
	}
	if err == nil && fresh.AccessToken.Value.Reveal() == "access-x" {
		t.Error("a token that is no Bearer token goes upstream")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, "0": 0, "": 0, "-5": 0, "soon": 0, "100000": 5 * time.Minute, "99999999999999999999": 0,
		now.Add(90 * time.Second).UTC().Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).UTC().Format(http.TimeFormat):       0,
		now.Add(time.Hour).UTC().Format(http.TimeFormat):        5 * time.Minute,
	} {
		p := newOP(t)
		m := p.method()
		old := p.signIn(m)
		p.handle(pathToken, says(429, "", "Retry-After", header))
		_, err := m.Refresh(t.Context(), old, "")
		u := unavailable(t, header, err)
		if u != nil && u.RetryAfter != want && !(header == "99999999999999999999" && u.RetryAfter == 5*time.Minute) {
			t.Errorf("%q: got %v, want %v", header, u.RetryAfter, want)
		}
	}
}

// TestOperatorIsTold, and not a thousand times.
func TestOperatorIsTold(t *testing.T) {
	p := newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.handle(pathToken, says(401, `{"error":"invalid_client","error_codes":[7000222],"error_description":"refresh-1"}`))
	for i := range 50 {
		_, _ = m.Refresh(t.Context(), person(login, i), "")
	}
	if n := strings.Count(p.log.String(), "provider.client_refused"); n != 1 || !strings.Contains(p.log.String(), "7000222") {
		t.Errorf("got %d lines: %s", n, p.log)
	}
	p.advance(time.Minute)
	_, _ = m.Refresh(t.Context(), login, "")
	if n := strings.Count(p.log.String(), "provider.client_refused"); n != 2 {
		t.Errorf("a minute later: got %d lines, want 2", n)
	}
}
