package e2e

import (
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const inCookies = "session: { store: cookie }\n"

// TestCookieStore: the refresh token lies in the cookie alone, with a provider whose
// refresh tokens are good once.
func TestCookieStore(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 5, nil)
	g := newGateway(t, port, inCookies+panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	total, slowest := who.storm(g.url+"/storm", 100, 20*time.Second)
	for begin := time.Now(); p.stats(t).Grants["refresh_token"] < 3 && time.Since(begin) < patience; {
		who.storm(g.url+"/storm", 100, 5*time.Second) // a busy machine takes its time for each
	}
	s := p.stats(t)
	t.Logf("%d requests, the slowest took %v; the provider counted %+v", total, slowest, s)
	if s.Revoked != 0 || len(s.Errors) != 0 || s.MostRefreshing > 1 || s.Grants["refresh_token"] < 3 {
		t.Errorf("the provider counted %+v, want one grant for each expiry and none refused", s)
	}

	// The gateway forgets everything; the browser does not.
	before := p.stats(t).Grants["refresh_token"]
	g.stop(t)
	g.serve()
	who.get(g.url + "/").told(t)
	if n := p.stats(t).Grants["refresh_token"] - before; n != 1 {
		t.Errorf("after a restart: got %d grants, want 1", n)
	}

	// A copy of the cookies is worth nothing after signing out.
	copied := newPerson(t)
	at, err := url.Parse(g.url)
	if err != nil {
		t.Fatal(err)
	}
	copied.c.Jar.SetCookies(at, who.c.Jar.Cookies(at))
	copied.get(g.url + "/").told(t) // until then
	who.signOut(g.url)
	res, err := copied.c.Get(g.url + "/.evergate/session")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the copy after signing out: got %d, want 401", res.StatusCode)
	}

	// What this mode cannot do is said.
	out, err := exec.CommandContext(t.Context(), binary, "session", "list", "--config", g.config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "session.store: cookie") {
		t.Errorf("session list: got %v %q, want to hear that it cannot be", err, out)
	}
}
