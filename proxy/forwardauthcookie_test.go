package proxy_test

import (
	"fmt"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestForwardAuthTellsWhichCookiesGoUp: Traefik, Caddy and Envoy put the Cookie header of
// an answer in place of the browser's, and the gateway's own cookies are not for apps.
func TestForwardAuthTellsWhichCookiesGoUp(t *testing.T) {
	for _, tt := range []struct{ name, sent, told string }{
		{"the session between others", "Cookie: a=1; evergate-session=good; b=2", "a=1; b=2"},
		{"the session alone", "Cookie: evergate-session=good", ""},
		{"none", "Accept: */*", ""},
		{"two lines", "Cookie: evergate-session=good; a=1\nCookie: b=2", "a=1; b=2"},
		{"what is no cookie of the gateway's stays as it is", `Cookie: a="1; 2";b = 3;;`, `a="1; 2";b = 3;;`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, dialect := range proxy.Dialects {
				g := &proxy.Gate{Auth: alice(newSession()), Challenge: challenged, OwnCookie: func(name string) bool { return name == "evergate-session" }}
				a := newAsked(t, dialect, g)
				res := a.send(t, inDialect(t, dialect, ask("GET", "/public/x", tt.sent)))
				want := "[]"
				if dialect == proxy.Traefik || dialect == proxy.Caddy || dialect == proxy.Envoy {
					want = fmt.Sprintf("%q", []string{tt.told})
				}
				if got := fmt.Sprintf("%q", res.Header["Cookie"]); res.StatusCode != 200 || got != want {
					t.Errorf("%s: got %d and cookies %s, want 200 and %s", dialect, res.StatusCode, got, want)
				}
			}
		})
	}
}
