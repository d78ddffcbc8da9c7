package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// logoutReadTo reads the answer to a method from a connection.
func (l *lab) logoutReadTo(c net.Conn, method string) *reply {
	l.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		l.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return &reply{res, string(body)}
}

// logoutSaid posts a logout token as a provider does. No answer may be kept.
func (l *lab) logoutSaid(provider, token string, lines ...string) *reply {
	l.t.Helper()
	r := l.post("/.evergate/backchannel-logout/"+provider, url.Values{"logout_token": {token}}.Encode(), lines...)
	l.logoutUncached(r)
	return r
}

func (l *lab) logoutUncached(r *reply) {
	l.t.Helper()
	if !strings.Contains(r.Header.Get("Cache-Control"), "no-store") {
		l.t.Errorf("the answer %d has Cache-Control %q, want no-store", r.StatusCode, r.Header.Get("Cache-Control"))
	}
}

// logoutSID is the provider's name of the session that somebody signs in to, and the cookie of
// that sign-in.
func (l *lab) logoutSID(provider string, user idp.User) (sid, cookie string) {
	l.t.Helper()
	var mu sync.Mutex
	p := l.providers[provider]
	p.Turn(func(k *idp.Knobs) {
		k.MutateIDToken = func(_, c map[string]any) {
			mu.Lock()
			defer mu.Unlock()
			sid = fmt.Sprint(c["sid"])
		}
	})
	defer p.Turn(func(k *idp.Knobs) { k.MutateIDToken = nil })
	cookie = l.signinAs(provider, user)
	mu.Lock()
	defer mu.Unlock()
	return sid, cookie
}

// logoutForged is a case of logout tokens by the beginnings of their names, and more: each is
// refused, and the session that it names lives on.
func logoutForged(prefixes []string, more ...oidctest.Forgery) func(*testing.T, *lab) {
	return func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		sid, cookie := l.logoutSID("corp", oidctest.Alice)
		all := slices.Clone(more)
		for _, f := range oidctest.LogoutForgeries(p) {
			if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(f.Name, prefix) }) {
				all = append(all, f)
			}
		}
		if len(all) == len(more) && len(prefixes) > 0 {
			t.Errorf("nothing is forged under %q", prefixes)
		}
		good := p.Knobs()
		for _, f := range all {
			l.signinTurn("corp", idtokenTurn(f))
			r := l.logoutSaid("corp", p.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, sid))
			if r.status(t, http.StatusBadRequest, http.StatusRequestEntityTooLarge); r.StatusCode == http.StatusOK {
				t.Errorf("%s: a logout token that %s was taken", f.Name, f.What)
			}
			p.Turn(func(k *idp.Knobs) { *k = good })
		}
		if n := p.Lured(); n != 0 {
			t.Errorf("%d requests to an address that only a token names", n)
		}
		l.get("/app", cookie).status(t, http.StatusOK)
		l.signinSaw(traces{app: 1})
		// And the same without a fault ends it, or nothing would have been tried.
		l.logoutSaid("corp", p.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, sid)).status(t, http.StatusOK)
		l.denied(l.get("/app", cookie))
	}
}

// logoutMutated is a forgery of claims and header, which the provider signs.
func logoutMutated(name string, mutate func(h, c map[string]any)) oidctest.Forgery {
	return oidctest.Forgery{Name: name, What: "has " + name, Turn: func(k *idp.Knobs) { k.MutateLogoutToken = mutate }}
}

func logoutSets(name string, value any) oidctest.Forgery {
	return logoutMutated(fmt.Sprintf("%s %.40v", name, value), func(_, c map[string]any) { c[name] = value })
}

const logoutRefused = "400, never to be kept; the session lives on"

// logoutTokens are what a provider, or somebody in its place, can send to the back channel.
var logoutTokens = []attack{
	{"L-08", "critical", "logout tokens of `alg: none`, signed with what is no key of the provider's, or written in another way (all that is tried with ID tokens)", logoutRefused,
		logoutForged([]string{"T-01", "T-02", "T-03", "T-04", "T-05", "T-06", "T-07", "T-08", "T-09", "T-10", "T-11", "T-12", "T-15", "T-16", "T-17", "T-18", "T-31", "encoding"})},
	{"L-10", "critical", "a logout token of another issuer or for another client, in all spellings", logoutRefused,
		logoutForged([]string{"T-19", "T-20"}, logoutSets("aud", []any{oidctest.ClientID, 7}), logoutSets("iss", nil), logoutSets("iss", ""))},
	{"L-11", "high", "no `events`", logoutRefused, logoutForged([]string{"L-11"}, logoutSets("events", nil))},
	{"L-12", "high", "another event; one that is true, null, text; events in a list", logoutRefused, logoutForged([]string{"L-12"},
		logoutSets("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": []any{}}), logoutSets("events", map[string]any{"HTTP://schemas.openid.net/event/backchannel-logout": map[string]any{}}))},
	{"L-13", "high", "a `nonce`, also empty and null", logoutRefused, logoutForged([]string{"L-13"}, logoutSets("nonce", nil))},
	{"L-14", "high", "neither `sub` nor `sid`; a number, a list, nothing for one", logoutRefused, logoutForged([]string{"L-14"}, logoutSets("sub", 7), logoutSets("sid", ""), logoutSets("sid", nil), logoutSets("sub", map[string]any{}))},
	{"L-15", "high", "`iat` missing, old, of tomorrow; `exp` past or missing; times that no clock shows; `jti` missing, empty or a number", logoutRefused,
		logoutForged([]string{"L-15", "T-24", "T-25", "T-26", "T-38"}, logoutSets("nbf", 1e300), logoutSets("iat", -1e300), logoutSets("jti", []any{"a"}))},
	{"L-16", "high", "a logout token once more after the person signed in again, 20 times at once, and another one of the same `jti`", "each counts once; the session of afterwards lives on, and another provider's token of the same `jti` is its own", func(t *testing.T, l *lab) {
		p, partner := l.providers["corp"], l.providers["partner"]
		_, first := l.logoutSID("corp", oidctest.Alice)
		token := p.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, "")
		var taken int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if r := l.logoutSaid("corp", token); r.StatusCode == http.StatusOK {
					mu.Lock()
					defer mu.Unlock()
					taken++
				}
			})
		}
		if wg.Wait(); taken != 1 {
			t.Errorf("of 20 at once %d were taken, want one", taken)
		}
		l.denied(l.get("/app", first))
		l.hears("session.revoked")
		_, second := l.logoutSID("corp", oidctest.Alice)
		jti := idtokenClaims(t, token)["jti"]
		same := func(_, c map[string]any) { c["jti"] = jti }
		l.signinTurn("corp", func(k *idp.Knobs) { k.MutateLogoutToken = same })
		l.signinTurn("partner", func(k *idp.Knobs) { k.MutateLogoutToken = same })
		l.logoutSaid("corp", token).status(t, http.StatusBadRequest)
		l.logoutSaid("corp", p.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, "")).status(t, http.StatusBadRequest)
		l.logoutSaid("partner", partner.LogoutToken(oidctest.ClientID, oidctest.Bob.Subject, "")).status(t, http.StatusOK)
		l.get("/app", second).status(t, http.StatusOK)
		l.signinSaw(traces{app: 1})
	}},
	{"L-17", "critical", "an ID token and an access token as a logout token, also with its event; a `typ` of something else, in a list, a number", logoutRefused, func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		var raw []string
		l.signinTurn("corp", func(k *idp.Knobs) {
			k.SignIDToken = func(h, c map[string]any) string {
				token := p.Sign(h, c)
				raw = append(raw, token)
				return token
			}
		})
		cookie := l.signinAs("corp", oidctest.Alice)
		p.Turn(func(k *idp.Knobs) { k.SignIDToken = nil })
		l.get("/app", cookie)
		for _, g := range l.signinSaw(traces{app: 1}) {
			raw = append(raw, strings.TrimPrefix(g.Header.Get("Authorization"), "Bearer "))
		}
		if len(raw) != 2 {
			t.Fatalf("got %d tokens, want the ID token and the access token", len(raw))
		}
		for _, token := range raw {
			l.secrets.add("a token", token)
			l.logoutSaid("corp", token).status(t, http.StatusBadRequest)
		}
		typ := func(value any) oidctest.Forgery {
			return logoutMutated(fmt.Sprint("typ ", value), func(h, _ map[string]any) { h["typ"] = value })
		}
		logoutForged([]string{"L-17"}, typ([]any{"at+jwt"}), typ(7), typ("secevent+jwt"), typ("application/at+jwt"), typ("logout+jwt, at+jwt"),
			logoutMutated("the event and a nonce", func(h, c map[string]any) { h["typ"], c["nonce"] = "JWT", "n" }))(t, l)
	}},
	{"L-18", "high", "another provider's logout token with the `sub` and the `sid` of a session of this one, at both addresses", "400 at the other's address, and nothing happens at its own", func(t *testing.T, l *lab) {
		sid, cookie := l.logoutSID("corp", oidctest.Alice)
		partner := l.providers["partner"]
		for _, token := range []string{partner.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, sid), partner.LogoutToken(oidctest.ClientID, "", sid), partner.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, "")} {
			l.logoutSaid("corp", token).status(t, http.StatusBadRequest)
			l.logoutSaid("partner", token).status(t, http.StatusOK)
		}
		l.logoutSaid("partner", l.providers["corp"].LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, sid)).status(t, http.StatusBadRequest)
		l.get("/.evergate/frontchannel-logout/partner?iss="+url.QueryEscape(partner.Issuer)+"&sid="+sid).status(t, http.StatusOK)
		for _, query := range []string{"", "?sid=" + sid, "?iss=" + url.QueryEscape(partner.Issuer) + "&sid=" + sid, "?iss=" + url.QueryEscape(l.providers["corp"].Issuer), "?iss=" + url.QueryEscape(l.providers["corp"].Issuer) + "&sid=" + sid + "&sid=x"} {
			l.get("/.evergate/frontchannel-logout/corp"+query).status(t, http.StatusBadRequest)
		}
		l.get("/app", cookie).status(t, http.StatusOK)
		l.signinSaw(traces{app: 1})
	}},
	{"L-19", "medium", "a `sub` alone, a `sid` alone, a `sid` that nobody has, a `sid` of somebody else, and wildcards", "all sessions of that person, that one alone, and none: 200 each time", func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		l.logoutSaid("corp", p.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, "")).status(t, http.StatusOK) // those of other cases
		sid, one := l.logoutSID("corp", oidctest.Alice)
		_, two := l.logoutSID("corp", oidctest.Alice)
		_, three := l.logoutSID("corp", oidctest.Alice)
		bobs, bob := l.logoutSID("corp", oidctest.Bob)
		for _, c := range [][2]string{{"", "unknown"}, {"unknown", ""}, {oidctest.Alice.Subject, bobs}, {"", "*"}, {"*", ""}, {oidctest.Alice.Subject + "\x00", ""}, {strings.ToUpper(oidctest.Alice.Subject), ""}, {"", sid[:len(sid)-1]}, {"", strings.ToLower(sid)}} {
			l.logoutSaid("corp", p.LogoutToken(oidctest.ClientID, c[0], c[1])).status(t, http.StatusOK)
		}
		for _, cookie := range []string{one, two, three, bob} {
			l.get("/app", cookie).status(t, http.StatusOK)
		}
		l.signinSaw(traces{app: 4})
		l.logoutSaid("corp", p.LogoutToken(oidctest.ClientID, "", sid)).status(t, http.StatusOK)
		l.denied(l.get("/app", one))
		l.get("/app", two).status(t, http.StatusOK)
		l.signinSaw(traces{app: 5, sessions: -1, events: []string{"session.revoked/by_provider"}})
		l.before = l.marks()
		l.logoutSaid("corp", p.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, "")).status(t, http.StatusOK)
		l.denied(l.get("/app", two))
		l.denied(l.get("/app", three))
		if r := l.get("/app", bob); r.StatusCode != http.StatusOK || !strings.Contains(r.body, oidctest.Bob.Subject) {
			t.Errorf("bob got %d", r.StatusCode)
		}
		l.signinSaw(traces{app: 1, sessions: -2, events: []string{"session.revoked/by_provider", "session.revoked/by_provider"}})
	}},
	{"L-20", "medium", "GET, PUT, JSON, text, a multipart form, 1 MB, two tokens, the token in the address, a form from another site", "400, 403, 405, 413 or 415, and a good token in it ends nothing", func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		sid, cookie := l.logoutSID("corp", oidctest.Alice)
		token := p.LogoutToken(oidctest.ClientID, oidctest.Alice.Subject, sid)
		const at = "/.evergate/backchannel-logout/corp"
		form := "logout_token=" + token
		const urlencoded = "Content-Type: application/x-www-form-urlencoded"
		for _, c := range []struct {
			method, target, body string
			lines                []string
			want                 int
		}{
			{"GET", at + "?" + form, "", nil, 405},
			{"HEAD", at + "?" + form, "", nil, 405},
			{"PUT", at, form, []string{urlencoded}, 405},
			{"DELETE", at, form, []string{urlencoded}, 405},
			{"POST", at, `{"logout_token":"` + token + `"}`, []string{"Content-Type: application/json"}, 415},
			{"POST", at, form, []string{"Content-Type: text/plain"}, 415},
			{"POST", at, form, []string{"Content-Type: multipart/form-data; boundary=x"}, 415},
			{"POST", at, form, nil, 415},
			{"POST", at, form + "&padding=" + strings.Repeat("x", 1<<20), []string{urlencoded}, 413},
			{"POST", at, form + "&" + form, []string{urlencoded}, 400},
			{"POST", at, form + "&logout_token=", []string{urlencoded}, 400},
			{"POST", at, "logout_token%5B%5D=" + token, []string{urlencoded}, 400},
			{"POST", at + "?" + form, "x=y", []string{urlencoded}, 400},
			{"POST", at, form + ";x", []string{urlencoded}, 400},
			{"POST", at, "%zz=1&" + form, []string{urlencoded}, 400},
			{"POST", at, "", []string{urlencoded, "Content-Length: 0"}, 400},
			{"POST", at, form, []string{urlencoded, "Origin: https://evil.test"}, 403},
			{"POST", at + "/", form, []string{urlencoded}, 404},
			{"POST", "/.evergate/backchannel-logout/none", form, []string{urlencoded}, 404},
		} {
			r := l.logoutSend(c.method, c.target, c.body, c.lines...)
			if r.StatusCode != c.want {
				t.Errorf("%s %.60s %q: got %d %.200q, want %d", c.method, c.body, c.lines, r.StatusCode, r.body, c.want)
			}
			if c.want != 404 {
				l.logoutUncached(r)
			}
		}
		l.get("/app", cookie).status(t, http.StatusOK)
		l.signinSaw(traces{app: 1})
	}},
}
