package attacks

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/dpop/dpopcheck"
)

// theftProven is the drill of an access token that is bound to a key of the session.
var theftProven = attack{"TD-8", "high", "an access token that is bound to the session's key (`dpop: true`), with the proof that went along, as an app could leak both: at an app, at the provider and at the gateway, as they are, for other requests, and with proofs of the thief's own",
	"an app that takes proofs takes neither: the token wants one of the session's key, which never left the gateway, and each proof is good once and for one request. A proof that a client sends along reaches no app",
	func(t *testing.T, l *lab) {
		owner := l.newJar("the owner's browser")
		owner.enter("alice", oidctest.Alice.Password)
		r := owner.get("/reports", "DPoP: a.clients.own", "Authorization: DPoP a.clients.own")
		r.status(t, 200)
		leaked := l.saw(traces{app: 1})[0]
		token, ok := strings.CutPrefix(leaked.Header.Get("Authorization"), "DPoP ")
		if !ok || len(leaked.Header["Dpop"]) != 1 {
			t.Fatalf("the app got no token with a proof:\n%s", leaked.head())
		}
		proof := leaked.Header["Dpop"][0]
		_, claims := renewalToken(t, &got{Request: &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}})
		confirmation, _ := claims["cnf"].(map[string]any)
		key, _ := confirmation["jkt"].(string)

		// An app that takes proofs, and has taken this one from the gateway.
		app := &dpopcheck.Server{URL: "https://" + l.host, Bound: func(of string) string {
			if of != token {
				return ""
			}
			return key
		}}
		asks := func(method, target, scheme string, proofs ...string) string {
			t.Helper()
			req, err := http.NewRequest(method, "https://"+l.host+target, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", scheme+" "+token)
			req.Header["Dpop"] = proofs
			return app.Check(http.Header{}, req)
		}
		if code := asks("GET", "/reports", "DPoP", proof); code != "" {
			t.Fatalf("the gateway's own request: the app says %s, so the rest shows nothing", code)
		}
		own := func(address string) string { return dpopcheck.Forge(t, http.MethodGet, address, token, "") }
		for what, c := range map[string]struct{ got, want string }{
			"the same once more":            {asks("GET", "/reports", "DPoP", proof), "invalid_dpop_proof"},
			"for another page":              {asks("GET", "/admin", "DPoP", proof), "invalid_dpop_proof"},
			"for another method":            {asks("POST", "/reports", "DPoP", proof), "invalid_dpop_proof"},
			"without the proof":             {asks("GET", "/reports", "DPoP"), "invalid_dpop_proof"},
			"as a bearer's":                 {asks("GET", "/reports", "Bearer"), "invalid_token"},
			"with a proof of the thief's":   {asks("GET", "/reports", "DPoP", own("https://"+l.host+"/reports")), "invalid_dpop_proof"},
			"with both":                     {asks("GET", "/reports", "DPoP", own("https://"+l.host+"/reports"), proof), "invalid_dpop_proof"},
			"with a proof that was changed": {asks("GET", "/reports", "DPoP", proof[:len(proof)-4]+"AAAA"), "invalid_dpop_proof"},
		} {
			if c.got != c.want {
				t.Errorf("%s: the app says %q, want %q", what, c.got, c.want)
			}
		}
		// The provider, where the token tells who its person is.
		at := l.provider().Issuer + "/userinfo"
		for what, header := range map[string]http.Header{
			"as a bearer's":               {"Authorization": {"Bearer " + token}},
			"with the proof for the app":  {"Authorization": {"DPoP " + token}, "Dpop": {proof}},
			"with a proof of the thief's": {"Authorization": {"DPoP " + token}, "Dpop": {own(at)}},
		} {
			req, err := http.NewRequest(http.MethodGet, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = header
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if res.Body.Close(); res.StatusCode != 401 {
				t.Errorf("at the provider, %s: got %d, want 401", what, res.StatusCode)
			}
		}
		for _, scheme := range []string{"DPoP ", "Bearer "} {
			l.denied(l.get("/reports", "Authorization: "+scheme+token, "DPoP: "+proof))
		}
		owner.get("/").status(t, 200)
		next := l.saw(traces{app: 2})[1]
		if again := next.Header["Dpop"]; len(again) != 1 || again[0] == proof {
			t.Errorf("the next request has the proof %q, want one of its own", again)
		}
		if _, err := dpopcheck.Verify(next.Header["Dpop"][0], dpopcheck.Want{Method: "GET", URL: "https://" + l.host + "/", Token: token, Thumbprint: key, Time: time.Now()}); err != nil {
			t.Error(err)
		}
	}}
