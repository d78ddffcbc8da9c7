package idp_test

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

func TestACodeIsGoodOnceAndForWhomItWasMade(t *testing.T) {
	x := start(t, nil)
	for name, changes := range map[string]map[string]string{
		"another verifier":     {"code_verifier": verifier + "x"},
		"another redirect URI": {"redirect_uri": "https://app.example/other"},
	} {
		x.browser = newBrowser(t)
		code := x.code(ask(nil))
		x.wantError(x.redeem(code, changes), 400, "invalid_grant")
		if a := x.redeem(code, nil); a.status == http.StatusOK {
			t.Errorf("%s: the code is still good", name)
		}
	}
	x.browser = newBrowser(t)
	code := x.code(ask(nil))
	x.skew.Store(int64(2 * time.Minute))
	x.wantError(x.redeem(code, nil), 400, "invalid_grant")
	x.skew.Store(0)

	x.browser = newBrowser(t)
	code = x.code(ask(nil))
	a := x.redeem(code, nil)
	x.wantError(x.redeem(code, nil), 400, "invalid_grant")
	x.wantError(x.renew(a.str("refresh_token")), 400, "invalid_grant")
	if x.p.GrantAlive(a.str("refresh_token")) {
		t.Error("a code was used twice and its grant lives")
	}
}

func TestARefreshTokenIsGoodOnce(t *testing.T) {
	x := start(t, nil)
	first := x.tokens()
	_, before := read(t, first.str("id_token"))
	x.skew.Store(int64(10 * time.Second))
	second := x.renew(first.str("refresh_token"))
	if second.status != 200 || second.str("refresh_token") == first.str("refresh_token") || second.str("access_token") == first.str("access_token") {
		t.Fatalf("got %d %s, want other tokens", second.status, second.text)
	}
	_, after := read(t, second.str("id_token"))
	if after["auth_time"] != before["auth_time"] || after["nonce"] != nil || after["sid"] != before["sid"] || after["iat"].(float64) <= before["iat"].(float64) {
		t.Errorf("got %v after %v, want the same sign-in, later and without nonce", after, before)
	}
	third := x.renew(second.str("refresh_token"))
	if third.status != 200 || !x.p.GrantAlive(third.str("refresh_token")) || x.p.LiveGrants("u-1") != 1 {
		t.Fatalf("got %d %s, want tokens", third.status, third.text)
	}
	x.wantError(x.renew(first.str("refresh_token")), 400, "invalid_grant")
	x.wantError(x.renew(third.str("refresh_token")), 400, "invalid_grant")
	if a := x.userinfo(third.str("access_token")); a.status != http.StatusUnauthorized {
		t.Errorf("got %d with an access token of a dead grant, want 401", a.status)
	}
	s := x.p.Stats()
	if s.CodeGrants != 1 || s.RefreshGrants != 2 || s.RefreshRefused != 2 || s.ReuseDetected != 1 || s.TokenRequests != 5 {
		t.Errorf("got %+v", s)
	}
}

func TestOfManyRefreshesAtOnceOneIsGood(t *testing.T) {
	x := start(t, nil)
	token := x.tokens().str("refresh_token")
	x.p.Turn(func(k *idp.Knobs) { k.DelayBefore, k.OnlyRefresh = 100*time.Millisecond, true })
	var wg sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		wg.Go(func() { statuses[i] = x.renew(token).status })
	}
	wg.Wait()
	good := 0
	for _, s := range statuses {
		if s == http.StatusOK {
			good++
		}
	}
	s := x.p.Stats()
	if good != 1 || x.p.GrantAlive(token) || s.MaxConcurrentRefreshPerGrant < 2 {
		t.Errorf("got %d good answers of %v, most at once %d; want 1, and a dead grant", good, statuses, s.MaxConcurrentRefreshPerGrant)
	}
}

func TestProvidersThatDoNotRotateAsOthersDo(t *testing.T) {
	x := start(t, nil)
	token := x.tokens().str("refresh_token")
	x.p.Turn(func(k *idp.Knobs) { k.NoRotation = true })
	for range 2 {
		if a := x.renew(token); a.status != 200 || a.json["refresh_token"] != nil {
			t.Errorf("NoRotation: got %d %s, want no refresh token", a.status, a.text)
		}
	}
	x.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{ReuseGrace: 3 * time.Second} })
	x.renew(token)
	if a := x.renew(token); a.status != 200 {
		t.Errorf("ReuseGrace: got %d %s, want tokens", a.status, a.text)
	}
	x.skew.Store(int64(4 * time.Second))
	x.p.Turn(func(k *idp.Knobs) { k.NoReuseDetection, k.ReuseError = true, "invalid_request" })
	x.wantError(x.renew(token), 400, "invalid_request")
	if !x.p.GrantAlive(token) {
		t.Error("NoReuseDetection: the grant is dead")
	}
	x.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{NoRefreshTokens: true} })
	x.browser = newBrowser(t)
	if a := x.tokens(); a.json["refresh_token"] != nil {
		t.Error("NoRefreshTokens: got one")
	}
}

func TestARefreshCannotAskForMore(t *testing.T) {
	x := start(t, nil)
	q := ask(map[string]string{"resource": "https://api.example"})
	a := x.redeem(x.code(q), nil)
	if _, c := read(t, a.str("access_token")); c["aud"] != "https://api.example" {
		t.Errorf("got aud %v, want the resource", c["aud"])
	}
	form := renewal(a.str("refresh_token"))
	x.wantError(x.post("/token", with(form, url.Values{"scope": {"openid orders"}})), 400, "invalid_scope")
	x.wantError(x.post("/token", with(form, url.Values{"resource": {"https://other.example"}})), 400, "invalid_target")
	b := x.post("/token", with(form, url.Values{"scope": {"openid"}, "resource": {"https://api.example"}}))
	if _, c := read(t, b.str("access_token")); c["scope"] != "openid" {
		t.Errorf("got scope %v, want the narrower one", c["scope"])
	}
}

func TestRevokingAllOrOneUser(t *testing.T) {
	x := start(t, nil)
	token := x.tokens().str("refresh_token")
	x.p.RevokeUser("u-2")
	if !x.p.GrantAlive(token) {
		t.Error("another user was revoked and the grant is dead")
	}
	x.p.RevokeUser("u-1")
	x.wantError(x.renew(token), 400, "invalid_grant")
	code := x.location(x.authorize(ask(nil))).Query().Get("code")
	x.p.RevokeAll()
	x.wantError(x.redeem(code, nil), 400, "invalid_grant")
}

func TestNewClaimsAreToldAtRenewal(t *testing.T) {
	x := start(t, nil)
	token := x.tokens().str("refresh_token")
	changed := alice
	changed.Groups = []string{"staff"}
	if err := x.p.SetUser(changed); err != nil {
		t.Fatal(err)
	}
	if _, c := read(t, x.renew(token).str("id_token")); len(c["groups"].([]any)) != 1 {
		t.Errorf("got groups %v, want one", c["groups"])
	}
}

func TestTokenExchangeGivesTheSameUserForAnotherAudience(t *testing.T) {
	x := start(t, nil)
	a := x.tokens()
	form := url.Values{
		"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {a.str("access_token")}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"audience": {"orders"}, "scope": {"openid"},
	}
	b := x.post("/token", form)
	if b.status != 200 || b.str("issued_token_type") == "" || b.json["refresh_token"] != nil {
		t.Fatalf("got %d %s, want an access token alone", b.status, b.text)
	}
	if _, c := read(t, b.str("access_token")); c["sub"] != "u-1" || c["aud"] != "orders" || c["scope"] != "openid" {
		t.Errorf("got %v", c)
	}
	x.wantError(x.post("/token", with(form, url.Values{"scope": {"orders"}})), 400, "invalid_scope")
	x.wantError(x.post("/token", with(form, url.Values{"subject_token": {"x"}})), 400, "invalid_request")
}

func TestKnobsOfTheTokenEndpoint(t *testing.T) {
	x := start(t, nil)
	for _, row := range []struct {
		name  string
		turn  func(*idp.Knobs)
		check func(a answer) bool
		spent bool // whether the refresh token is
	}{
		{"an error of OAuth", func(k *idp.Knobs) { k.TokenError = "invalid_grant" },
			func(a answer) bool { return a.status == 400 && a.str("error") == "invalid_grant" }, false},
		{"an error with another status", func(k *idp.Knobs) { k.TokenError, k.TokenStatus = "invalid_client", 401 },
			func(a answer) bool { return a.status == 401 && a.str("error") == "invalid_client" }, false},
		{"a bare status with Retry-After", func(k *idp.Knobs) { k.TokenStatus, k.RetryAfter = 429, "7" },
			func(a answer) bool { return a.status == 429 && a.json == nil && a.header.Get("Retry-After") == "7" }, false},
		{"a status after the grant", func(k *idp.Knobs) { k.TokenStatus, k.AfterGrant = 502, true },
			func(a answer) bool { return a.status == 502 }, true},
		{"a page", func(k *idp.Knobs) { k.HTMLBody = true },
			func(a answer) bool { return a.status == 200 && a.json == nil }, false},
		{"a redirect", func(k *idp.Knobs) { k.Redirect = "https://evil.example/" },
			func(a answer) bool { return a.status == 307 && a.header.Get("Location") == "https://evil.example/" }, false},
		{"half an answer", func(k *idp.Knobs) { k.MalformedJSON = true },
			func(a answer) bool { return a.status == 200 && a.json == nil && len(a.text) > 10 }, true},
		{"a huge answer", func(k *idp.Knobs) { k.HugeBody = true },
			func(a answer) bool { return len(a.text) > 4<<20 && a.str("access_token") != "" }, true},
		{"everything left out", func(k *idp.Knobs) {
			k.OmitAccessToken, k.OmitRefreshToken, k.OmitIDToken, k.OmitExpiresIn = true, true, true, true
		}, func(a answer) bool {
			return a.json["access_token"] == nil && a.json["refresh_token"] == nil && a.json["id_token"] == nil && a.json["expires_in"] == nil && a.str("token_type") != ""
		}, true},
		{"odd members", func(k *idp.Knobs) { k.ExpiresIn, k.ExpiresInString, k.TokenType = 30, true, "mac" },
			func(a answer) bool { return a.str("expires_in") == "30" && a.str("token_type") == "mac" }, true},
		{"other bytes", func(k *idp.Knobs) { k.RewriteTokenAnswer = func([]byte) []byte { return []byte(`{"a":1,"a":2}`) } },
			func(a answer) bool { return a.text == `{"a":1,"a":2}` }, true},
		{"a late answer", func(k *idp.Knobs) { k.Delay = 50 * time.Millisecond },
			func(a answer) bool { return a.status == 200 }, true},
		{"another subject", func(k *idp.Knobs) { k.ChangedSubject = "u-2" },
			func(a answer) bool { _, c := read(t, a.str("id_token")); return c["sub"] == "u-2" }, true},
		{"opaque access tokens", func(k *idp.Knobs) { k.OpaqueAccessTokens = true },
			func(a answer) bool { return len(a.str("access_token")) < 40 }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := &world{t: t, p: x.p, issuer: x.issuer, browser: newBrowser(t)}
			token := x.tokens().str("refresh_token")
			x.p.Turn(func(k *idp.Knobs) { row.turn(k); k.OnlyRefresh = true })
			defer x.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
			client := newBrowser(t)
			req := x.request("/token", renewal(token))
			req.SetBasicAuth("rp", url.QueryEscape(secret))
			if a := x.do(client, req); !row.check(a) {
				t.Errorf("got %d %.200s", a.status, a.text)
			}
			if login := x.redeem(x.location(x.authorize(ask(nil))).Query().Get("code"), nil); login.status != 200 || login.str("id_token") == "" {
				t.Errorf("OnlyRefresh: got %d %s at sign-in, want tokens", login.status, login.text)
			}
			x.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
			if a := x.renew(token); (a.status != 200) != row.spent {
				t.Errorf("got %d for the refresh token afterwards, want it spent: %v", a.status, row.spent)
			}
		})
	}
}

func TestAnswersThatNeverCome(t *testing.T) {
	x := start(t, nil)
	for _, row := range []struct {
		name  string
		turn  func(*idp.Knobs)
		spent bool
	}{
		{"dropped before", func(k *idp.Knobs) { k.DropBefore = true }, false},
		{"dropped after", func(k *idp.Knobs) { k.Drop = true }, true},
		{"hanging", func(k *idp.Knobs) { k.Hang = true }, false},
		{"hanging after", func(k *idp.Knobs) { k.Hang, k.AfterGrant = true, true }, true},
		{"too late", func(k *idp.Knobs) { k.Delay = time.Minute }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := &world{t: t, p: x.p, issuer: x.issuer, browser: newBrowser(t)}
			token := x.tokens().str("refresh_token")
			x.p.Turn(row.turn)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // in which the provider has spent it
			defer cancel()
			req := x.request("/token", renewal(token)).WithContext(ctx)
			req.SetBasicAuth("rp", url.QueryEscape(secret))
			res, err := http.DefaultClient.Do(req)
			if err == nil {
				res.Body.Close()
				t.Errorf("got an answer of %d, want none", res.StatusCode)
			}
			x.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
			if a := x.renew(token); (a.status != 200) != row.spent {
				t.Errorf("got %d for the refresh token afterwards, want it spent: %v", a.status, row.spent)
			}
		})
	}
}

func TestCloseEndsWhatHangs(t *testing.T) {
	x := start(t, nil)
	token := x.tokens().str("refresh_token")
	entered := make(chan struct{})
	x.p.Turn(func(k *idp.Knobs) { k.Hang, k.AtToken = true, func(*http.Request) { close(entered) } })
	done := make(chan error, 1)
	go func() {
		res, err := http.PostForm(x.issuer+"/token", renewal(token))
		if err == nil {
			res.Body.Close()
		}
		done <- err
	}()
	<-entered
	if err := x.p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("got an answer, want a closed connection")
	}
}

func TestTimesLimitsAFault(t *testing.T) {
	x := start(t, nil)
	token := x.tokens().str("refresh_token")
	x.p.Turn(func(k *idp.Knobs) { k.TokenStatus, k.Times = 503, 2 })
	for i, want := range []int{503, 503, 200} {
		if a := x.renew(token); a.status != want {
			t.Errorf("request %d: got %d, want %d", i, a.status, want)
		}
	}
}

func TestDownIsDownEverywhereAndStillCounts(t *testing.T) {
	x := start(t, nil)
	x.p.Turn(func(k *idp.Knobs) { k.Down, k.RetryAfter = true, "5" })
	for _, path := range []string{"/.well-known/openid-configuration", "/jwks", "/authorize", "/userinfo", "/logout"} {
		if a := x.get(x.issuer + path); a.status != 503 || a.header.Get("Retry-After") != "5" {
			t.Errorf("%s: got %d, want 503", path, a.status)
		}
	}
	if a := x.renew("t"); a.status != 503 || x.p.Stats().TokenRequests != 1 || x.p.Stats().Discoveries != 1 {
		t.Errorf("got %d and %+v", a.status, x.p.Stats())
	}
}
