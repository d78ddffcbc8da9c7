package idp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

func TestTheMetadataNameWhatIsThere(t *testing.T) {
	x := start(t, nil)
	md := x.get(x.issuer + "/.well-known/openid-configuration")
	if md.str("issuer") != x.issuer || md.header.Get("Cache-Control") != "max-age=300" {
		t.Errorf("got issuer %q and %q, want %q and max-age=300", md.str("issuer"), md.header.Get("Cache-Control"), x.issuer)
	}
	for _, name := range []string{"jwks_uri", "authorization_endpoint", "end_session_endpoint", "userinfo_endpoint"} {
		if a := x.get(md.str(name)); a.status == http.StatusNotFound {
			t.Errorf("%s is %q, and there is nothing", name, md.str(name))
		}
	}
	x.p.Turn(func(k *idp.Knobs) {
		k.NoPAR, k.NoRevocation = true, true
		k.MutateMetadata = func(m map[string]any) { m["issuer"] = "https://other.example" }
	})
	md = x.get(x.issuer + "/.well-known/openid-configuration")
	for _, name := range []string{"pushed_authorization_request_endpoint", "revocation_endpoint"} {
		if md.json[name] != nil {
			t.Errorf("got %s, want none", name)
		}
	}
	if md.str("issuer") != "https://other.example" {
		t.Errorf("got issuer %q, want the changed one", md.str("issuer"))
	}
	if a := x.post("/revoke", url.Values{"token": {"t"}}); a.status != http.StatusNotFound {
		t.Errorf("got %d from an endpoint that is turned off, want 404", a.status)
	}
}

func TestACodeGivesTokensThatVerify(t *testing.T) {
	x := start(t, nil)
	back := x.location(x.signIn(ask(nil), alice.Password))
	q := back.Query()
	if !strings.HasPrefix(back.String(), callback+"&") || q.Get("of") != "evergate" || q.Get("state") != "the state" || q.Get("iss") != x.issuer {
		t.Fatalf("got back at %s, want state and iss at the redirect URI", back)
	}
	a := x.redeem(q.Get("code"), nil)
	if a.status != 200 || a.str("token_type") != "Bearer" || a.json["expires_in"] != 300.0 || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %s", a.status, a.text)
	}
	header, claims := read(t, a.str("id_token"))
	sum := sha256.Sum256([]byte(a.str("access_token")))
	for name, want := range map[string]any{
		"iss": x.issuer, "sub": "u-1", "aud": "rp", "nonce": "the nonce", "name": "Alice", "email": "alice@example.com", "email_verified": true,
		"groups": []any{"staff", "admins"}, "amr": []any{"pwd"}, "acr": "1", "department": "ships", "azp": nil,
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	} {
		if !reflect.DeepEqual(claims[name], want) {
			t.Errorf("ID token: got %s %v, want %v", name, claims[name], want)
		}
	}
	if claims["exp"].(float64)-claims["iat"].(float64) != 3600 || claims["sid"] == "" || claims["auth_time"].(float64) > claims["iat"].(float64) {
		t.Errorf("got times and sid of %v", claims)
	}
	x.wantSignature(header, a.str("id_token"))
	header, claims = read(t, a.str("access_token"))
	if header["typ"] != "at+jwt" || claims["aud"] != x.issuer || claims["client_id"] != "rp" || claims["scope"] != "openid profile email offline_access" || claims["jti"] == "" {
		t.Errorf("got an access token of %v %v", header, claims)
	}
	x.wantSignature(header, a.str("access_token"))
}

// wantSignature checks ES256 against the published keys, by hand.
func (x *world) wantSignature(header map[string]any, token string) {
	x.t.Helper()
	for _, k := range x.get(x.issuer + "/jwks").json["keys"].([]any) {
		jwk := k.(map[string]any)
		if jwk["kid"] != header["kid"] || header["alg"] != "ES256" || jwk["alg"] != "ES256" {
			continue
		}
		px, _ := base64.RawURLEncoding.DecodeString(jwk["x"].(string))
		py, _ := base64.RawURLEncoding.DecodeString(jwk["y"].(string))
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, px, py))
		if err != nil {
			x.t.Fatal(err)
		}
		dot := strings.LastIndex(token, ".")
		sig, _ := base64.RawURLEncoding.DecodeString(token[dot+1:])
		sum := sha256.Sum256([]byte(token[:dot]))
		if len(sig) != 64 || !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
			x.t.Errorf("the signature of %q does not verify", token)
		}
		return
	}
	x.t.Errorf("there is no key for %v", header)
}

func TestAWrongPasswordShowsTheFormAgain(t *testing.T) {
	x := start(t, nil)
	a := x.signIn(ask(nil), "guess")
	if a.status != http.StatusUnauthorized || !strings.Contains(a.text, "is wrong") || !strings.Contains(a.text, `value="alice"`) {
		t.Errorf("got %d %s, want the form with a word of what was wrong", a.status, a.text)
	}
}

func TestALoginFormOfAnotherSiteIsRefused(t *testing.T) {
	x := start(t, nil)
	form := x.location(x.authorize(ask(nil)))
	req := x.request("/login", url.Values{"request": {form.Query().Get("request")}, "username": {"alice"}, "password": {alice.Password}})
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if a := x.do(x.browser, req); a.status != http.StatusForbidden {
		t.Errorf("got %d, want 403", a.status)
	}
}

func TestASecondSignInGoesStraightThrough(t *testing.T) {
	for _, row := range []struct {
		name    string
		changes map[string]string
		later   time.Duration
		want    string // "code", "form" or an error
	}{
		{"by itself", nil, 0, "code"},
		{"with prompt=none", map[string]string{"prompt": "none"}, 0, "code"},
		{"with prompt=login", map[string]string{"prompt": "login"}, 0, "form"},
		{"with prompt=select_account", map[string]string{"prompt": "select_account"}, 0, "form"},
		{"within max_age", map[string]string{"max_age": "60"}, 30 * time.Second, "code"},
		{"after max_age", map[string]string{"max_age": "60"}, 90 * time.Second, "form"},
		{"after max_age with prompt=none", map[string]string{"max_age": "60", "prompt": "none"}, 90 * time.Second, "login_required"},
		{"with max_age=0", map[string]string{"max_age": "0"}, 0, "form"},
		{"with an acr that it has not", map[string]string{"acr_values": "strong"}, 0, "form"},
		{"with the acr that it has", map[string]string{"acr_values": "strong 1"}, 0, "code"},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := start(t, nil)
			x.code(ask(nil))
			x.skew.Store(int64(row.later))
			to := x.location(x.authorize(ask(row.changes)))
			got := to.Query().Get("error")
			if to.Query().Has("code") {
				got = "code"
			} else if strings.HasSuffix(to.Path, "/login") {
				got = "form"
			}
			if got != row.want {
				t.Errorf("got %s, want %s", to, row.want)
			}
		})
	}
}

func TestBadRequestsAreSentBackOrNot(t *testing.T) {
	x := start(t, nil)
	for _, row := range []struct {
		name    string
		changes map[string]string
		want    string // "" is a page: nothing to be sent to
	}{
		{"unknown client", map[string]string{"client_id": "nobody"}, ""},
		{"redirect URI with a tail", map[string]string{"redirect_uri": callback + "/x"}, ""},
		{"no redirect URI", map[string]string{"redirect_uri": ""}, ""},
		{"request_uri that was not pushed", map[string]string{"request_uri": "urn:x"}, ""},
		{"implicit flow", map[string]string{"response_type": "id_token"}, "unsupported_response_type"},
		{"no PKCE", map[string]string{"code_challenge": ""}, "invalid_request"},
		{"plain PKCE", map[string]string{"code_challenge_method": "plain"}, "invalid_request"},
		{"no state", map[string]string{"state": ""}, "invalid_request"},
		{"no nonce", map[string]string{"nonce": ""}, "invalid_request"},
		{"unknown scope", map[string]string{"scope": "openid everything"}, "invalid_scope"},
		{"relative resource", map[string]string{"resource": "api"}, "invalid_target"},
		{"request object", map[string]string{"request": "e30.e30."}, "request_not_supported"},
		{"nobody signed in", map[string]string{"prompt": "none"}, "login_required"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := x.authorize(ask(row.changes))
			if row.want == "" {
				if a.status != http.StatusBadRequest || a.header.Get("Location") != "" {
					t.Errorf("got %d to %q, want a page", a.status, a.header.Get("Location"))
				}
				return
			}
			to := x.location(a)
			if q := to.Query(); q.Get("error") != row.want || q.Get("iss") != x.issuer || !strings.HasPrefix(to.String(), callback) {
				t.Errorf("got %s, want %s", to, row.want)
			}
		})
	}
}

func TestAPushedRequestIsGoodOnce(t *testing.T) {
	x := start(t, nil)
	if a := x.do(http.DefaultClient, x.request("/par", ask(nil))); a.status != http.StatusUnauthorized {
		t.Errorf("got %d without client authentication, want 401", a.status)
	}
	x.wantError(x.post("/par", ask(map[string]string{"redirect_uri": "https://evil.example"})), 400, "invalid_request")
	a := x.post("/par", ask(nil))
	if a.status != http.StatusCreated {
		t.Fatalf("got %d %s, want 201", a.status, a.text)
	}
	q := url.Values{"client_id": {"rp"}, "request_uri": {a.str("request_uri")}}
	code := x.code(q)
	if a := x.redeem(code, nil); a.status != 200 {
		t.Errorf("got %d %s, want tokens", a.status, a.text)
	}
	if a := x.authorize(q); a.status != http.StatusBadRequest {
		t.Errorf("got %d for a request_uri that is used up, want 400", a.status)
	}
	s := x.p.Stats()
	if len(s.LastAuthorizeQuery) != 2 || s.LastAuthorize.Get("nonce") != "the nonce" || s.PARs != 3 {
		t.Errorf("got %v through the browser and %v in all", s.LastAuthorizeQuery, s.LastAuthorize)
	}
	a = x.post("/par", ask(nil))
	x.skew.Store(int64(2 * time.Minute))
	if a := x.authorize(url.Values{"client_id": {"rp"}, "request_uri": {a.str("request_uri")}}); a.status != http.StatusBadRequest {
		t.Errorf("got %d for an old request_uri, want 400", a.status)
	}
}

func TestKnobsOfTheAuthorizationResponse(t *testing.T) {
	x := start(t, nil)
	x.code(ask(nil))
	x.p.Turn(func(k *idp.Knobs) { k.RefuseAuthorize = "access_denied" })
	if q := x.location(x.authorize(ask(nil))).Query(); q.Get("error") != "access_denied" || q.Get("state") != "the state" {
		t.Errorf("got %v, want access_denied", q)
	}
	x.p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{OmitIss: true} })
	if q := x.location(x.authorize(ask(nil))).Query(); q.Has("iss") || !q.Has("code") {
		t.Errorf("got %v, want a code without iss", q)
	}
	x.p.Turn(func(k *idp.Knobs) {
		*k = idp.Knobs{WrongIss: "https://evil.example", MutateCallback: func(q url.Values) { q.Set("state", "other") }}
	})
	if q := x.location(x.authorize(ask(nil))).Query(); q.Get("iss") != "https://evil.example" || q.Get("state") != "other" {
		t.Errorf("got %v, want another iss and state", q)
	}
}
