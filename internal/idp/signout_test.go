package idp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

func (x *world) userinfo(token string) answer {
	x.t.Helper()
	req, err := http.NewRequest(http.MethodGet, x.issuer+"/userinfo", nil)
	if err != nil {
		x.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return x.do(http.DefaultClient, req)
}

func TestUserinfoTellsWhatTheScopesAllow(t *testing.T) {
	x := start(t, nil)
	a := x.redeem(x.code(ask(map[string]string{"scope": "openid email"})), nil)
	u := x.userinfo(a.str("access_token"))
	if u.status != 200 || u.str("sub") != "u-1" || u.str("email") != alice.Email || u.json["name"] != nil || u.json["groups"] != nil || u.str("department") != "ships" {
		t.Errorf("got %d %s", u.status, u.text)
	}
	for _, bad := range []string{"", "x", a.str("id_token")} {
		if u := x.userinfo(bad); u.status != 401 || !strings.HasPrefix(u.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("got %d for token %q, want 401", u.status, bad)
		}
	}
	x.p.Turn(func(k *idp.Knobs) {
		k.UserinfoClaims, k.SignedUserinfo = map[string]any{"sub": "u-2", "email": nil}, true
	})
	u = x.userinfo(a.str("access_token"))
	header, claims := read(t, u.text)
	if u.header.Get("Content-Type") != "application/jwt" || claims["sub"] != "u-2" || claims["email"] != nil || claims["aud"] != "rp" || claims["iss"] != x.issuer {
		t.Errorf("got %v", claims)
	}
	x.wantSignature(header, u.text)
	x.p.Turn(func(k *idp.Knobs) { k.UserinfoStatus = 500 })
	if u := x.userinfo(a.str("access_token")); u.status != 500 {
		t.Errorf("got %d, want 500", u.status)
	}
	x.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
	x.skew.Store(int64(6 * time.Minute))
	if u := x.userinfo(a.str("access_token")); u.status != 401 {
		t.Errorf("got %d for an expired token, want 401", u.status)
	}
}

func TestRevocationAndIntrospection(t *testing.T) {
	x := start(t, nil)
	a := x.tokens()
	access, refresh := url.Values{"token": {a.str("access_token")}}, url.Values{"token": {a.str("refresh_token")}}
	if i := x.post("/introspect", access); i.json["active"] != true || i.str("username") != "alice" || i.str("client_id") != "rp" || i.str("aud") != x.issuer {
		t.Errorf("got %s", i.text)
	}
	if i := x.post("/introspect", url.Values{"token": {"x"}}); i.status != 200 || i.json["active"] != false || len(i.json) != 1 {
		t.Errorf("got %s of a token that is none", i.text)
	}
	if r := x.post("/revoke", url.Values{"token": {"x"}}); r.status != 200 {
		t.Errorf("got %d for a token that is none, want 200", r.status)
	}
	if r := x.post("/revoke", access); r.status != 200 || x.userinfo(a.str("access_token")).status != 401 || !x.p.GrantAlive(a.str("refresh_token")) {
		t.Errorf("got %d; want the access token dead and its grant alive", r.status)
	}
	x.p.Turn(func(k *idp.Knobs) { k.RevocationStatus = 503 })
	if r := x.post("/revoke", refresh); r.status != 503 || !x.p.GrantAlive(a.str("refresh_token")) {
		t.Errorf("got %d, want 503 and a grant that lives", r.status)
	}
	x.p.Turn(func(k *idp.Knobs) { k.RevocationStatus = 0 })
	if r := x.do(http.DefaultClient, x.request("/revoke", refresh)); r.status != 401 {
		t.Errorf("got %d without client authentication, want 401", r.status)
	}
	x.post("/revoke", refresh)
	x.wantError(x.renew(a.str("refresh_token")), 400, "invalid_grant")
	if i := x.post("/introspect", refresh); i.json["active"] != false {
		t.Errorf("got %s of a revoked token", i.text)
	}
}

// listener takes logout tokens.
func listener(t *testing.T, status int) (uri string, got chan string) {
	t.Helper()
	got = make(chan string, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.PostFormValue("logout_token")
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

func TestEndSessionSignsOutAndTellsTheOthers(t *testing.T) {
	ownURI, own := listener(t, 200)
	otherURI, other := listener(t, 200)
	x := start(t, func(c *idp.Config) {
		c.Clients[0].BackchannelLogoutURI = ownURI
		c.Clients = append(c.Clients, idp.Client{ID: "other", Secret: "o", RedirectURIs: []string{"https://other.example/cb"}, BackchannelLogoutURI: otherURI})
	})
	a := x.tokens()
	x.location(x.authorize(ask(map[string]string{"client_id": "other", "redirect_uri": "https://other.example/cb"})))
	_, claims := read(t, a.str("id_token"))
	q := url.Values{"id_token_hint": {a.str("id_token")}, "post_logout_redirect_uri": {landing}, "state": {"s 1"}}
	for name, bad := range map[string]url.Values{
		"foreign return address": {"post_logout_redirect_uri": {"https://evil.example"}},
		"foreign client":         {"client_id": {"other"}},
		"forged hint":            {"id_token_hint": {a.str("id_token") + "x"}},
	} {
		if b := x.get(x.issuer + "/logout?" + with(q, bad).Encode()); b.status != 400 || b.header.Get("Location") != "" {
			t.Errorf("%s: got %d to %q, want a page", name, b.status, b.header.Get("Location"))
		}
	}
	if to := x.location(x.get(x.issuer + "/logout?" + q.Encode())); to.String() != landing+"?state=s+1" {
		t.Errorf("got sent to %s", to)
	}
	_, token := read(t, <-other)
	if token["sid"] != claims["sid"] || token["sub"] != "u-1" || token["aud"] != "other" {
		t.Errorf("got logout token %v", token)
	}
	if len(own) != 0 {
		t.Error("the client that asked was told too")
	}
	if to := x.location(x.authorize(ask(nil))); !strings.HasSuffix(to.Path, "/login") {
		t.Errorf("got sent to %s, want the form: the session is over", to)
	}
	if b := x.get(x.issuer + "/logout"); b.status != 200 || !strings.Contains(b.text, "signed out") {
		t.Errorf("got %d %s, want a page", b.status, b.text)
	}
}

func TestLogoutTokensGoToTheClientsOfASession(t *testing.T) {
	uri, got := listener(t, 200)
	x := start(t, func(c *idp.Config) { c.Clients[0].BackchannelLogoutURI = uri })
	_, claims := read(t, x.tokens().str("id_token"))
	sid := claims["sid"].(string)
	if err := x.p.LogoutUser(t.Context(), "u-1", "another"); err != nil || len(got) != 0 {
		t.Errorf("got %v and %d tokens for a session that is none", err, len(got))
	}
	if err := x.p.LogoutUser(t.Context(), "u-1", sid); err != nil {
		t.Fatal(err)
	}
	header, token := read(t, <-got)
	events, _ := token["events"].(map[string]any)
	if header["typ"] != "logout+jwt" || token["sid"] != sid || token["sub"] != "u-1" || token["aud"] != "rp" || token["iss"] != x.issuer ||
		token["jti"] == nil || token["nonce"] != nil || events["http://schemas.openid.net/event/backchannel-logout"] == nil {
		t.Errorf("got %v %v", header, token)
	}
	x.tokens()
	if err := x.p.LogoutUser(t.Context(), "u-1", ""); err != nil {
		t.Fatal(err)
	}
	if _, token := read(t, <-got); token["sid"] != nil || token["sub"] != "u-1" {
		t.Errorf("got %v, want a token of the subject alone", token)
	}
	if n := x.p.Stats().LogoutTokens; n != 2 {
		t.Errorf("got %d counted, want 2", n)
	}
}

func TestAClientThatTakesNoLogoutTokenIsNamed(t *testing.T) {
	uri, _ := listener(t, 400)
	x := start(t, func(c *idp.Config) { c.Clients[0].BackchannelLogoutURI = uri })
	x.tokens()
	if err := x.p.LogoutUser(context.Background(), "u-1", ""); err == nil || !strings.Contains(err.Error(), `"rp"`) || !strings.Contains(err.Error(), "400") {
		t.Errorf("got %v, want an error with the client and its answer", err)
	}
}

func TestKnobsOfTokens(t *testing.T) {
	x := start(t, nil)
	x.p.Turn(func(k *idp.Knobs) {
		k.ClockSkew = time.Hour
		k.MutateIDToken = func(h, c map[string]any) { h["kid"] = "other"; delete(c, "nonce") }
		k.SignAccessToken = func(h, c map[string]any) string { return "at of " + c["sub"].(string) }
		k.MutateLogoutToken = func(_, c map[string]any) { c["nonce"] = "n" }
	})
	a := x.tokens()
	header, claims := read(t, a.str("id_token"))
	if header["kid"] != "other" || claims["nonce"] != nil || claims["iat"].(float64) < float64(time.Now().Add(59*time.Minute).Unix()) {
		t.Errorf("got %v %v", header, claims)
	}
	if a.str("access_token") != "at of u-1" {
		t.Errorf("got access token %q", a.str("access_token"))
	}
	if _, claims := read(t, x.p.LogoutToken("rp", "u-1", "")); claims["nonce"] != "n" {
		t.Errorf("got %v", claims)
	}
}

func TestRotatedKeys(t *testing.T) {
	x := start(t, func(c *idp.Config) { c.SigningAlg = "" })
	kids := func() (all []any) {
		for _, k := range x.get(x.issuer + "/jwks").json["keys"].([]any) {
			all = append(all, k.(map[string]any)["kid"])
		}
		return all
	}
	a := x.tokens()
	header, _ := read(t, a.str("id_token"))
	if got := kids(); len(got) != 1 || got[0] != header["kid"] || header["alg"] != "RS256" {
		t.Errorf("got keys %v for header %v", got, header)
	}
	if err := x.p.RotateKeysKeepingOld(); err != nil {
		t.Fatal(err)
	}
	if got := kids(); len(got) != 2 || got[1] != header["kid"] {
		t.Errorf("got keys %v, want the new one before the old", got)
	}
	if err := x.p.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	_, kid, alg := x.p.PublicKey()
	if got := kids(); len(got) != 1 || got[0] != kid || alg != "RS256" {
		t.Errorf("got keys %v, want %s alone", got, kid)
	}
	x.p.Turn(func(k *idp.Knobs) { k.RewriteJWKS = func([]byte) []byte { return []byte("<html>") } })
	if a := x.get(x.issuer + "/jwks"); a.text != "<html>" {
		t.Errorf("got %q, want other bytes", a.text)
	}
	// An ID token of an old key is still a hint.
	if b := x.get(x.issuer + "/logout?" + url.Values{"id_token_hint": {a.str("id_token")}, "post_logout_redirect_uri": {landing}}.Encode()); b.status != 303 {
		t.Errorf("got %d, want a redirect", b.status)
	}
}

func TestTheControlPage(t *testing.T) {
	x := start(t, nil)
	srv := httptest.NewServer(http.StripPrefix("/control", x.p.Control()))
	defer srv.Close()
	page := x.get(srv.URL + "/control")
	if page.status != 200 || !strings.Contains(page.text, "behaves well") || !strings.Contains(page.text, "token requests") || strings.Contains(page.text, "<script") {
		t.Errorf("got %d %s", page.status, page.text)
	}
	press := func(what, site string) *http.Response {
		req, err := http.NewRequest(http.MethodPost, srv.URL+"/control", strings.NewReader("do="+what))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", site)
		res, err := http.DefaultClient.Do(req) // follows to the page
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	if res := press("down", "cross-site"); res.StatusCode != 403 || x.p.Knobs().Down {
		t.Errorf("got %d for another site's button, want 403", res.StatusCode)
	}
	if res := press("down", "same-origin"); res.StatusCode != 200 || res.Request.URL.Path != "/control" || !x.p.Knobs().Down {
		t.Errorf("got %d at %s", res.StatusCode, res.Request.URL)
	}
	if page := x.get(srv.URL + "/control"); !strings.Contains(page.text, "answers 503") {
		t.Errorf("got %s", page.text)
	}
	press("slow", "same-origin")
	if k := x.p.Knobs(); k.Down || k.Delay != 3*time.Second {
		t.Errorf("got %+v", k)
	}
	press("behave", "same-origin")
	token := x.tokens().str("refresh_token")
	press("revoke", "same-origin")
	_, before, _ := x.p.PublicKey()
	press("rotate", "same-origin")
	if _, after, _ := x.p.PublicKey(); after == before || x.p.GrantAlive(token) {
		t.Error("the keys or the grant are as they were")
	}
	if res := press("nothing", "same-origin"); res.StatusCode != 400 {
		t.Errorf("got %d for no button, want 400", res.StatusCode)
	}
}
