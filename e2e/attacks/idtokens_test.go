package attacks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

func init() { sections = append(sections, idtokens) }

func TestIDTokens(t *testing.T) {
	t.Parallel()
	// Corp signs with RS256, as what is forged against an RSA key wants; the others cost less to make.
	es256 := oidctest.Config(func(c *idp.Config) { c.SigningAlg = "ES256" })
	providers := map[string]*oidctest.Provider{"corp": oidctest.Start(t)}
	for _, name := range append([]string{"partner", "rotating"}, slices.Sorted(maps.Keys(idtokenKeys))...) {
		providers[name] = oidctest.Start(t, es256)
	}
	corp := providers["corp"]
	idtokenPublish(corp, oidctest.Forgeries(corp))
	identity := "  - local: { users_file: users.yaml }\n" +
		signinConfig("corp", corp.Issuer, `bearer_audiences: ["https://api.test"]`, "claims: { user: preferred_username }") +
		signinConfig("corp-info", corp.Issuer, "userinfo: true")
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		if name != "corp" {
			identity += signinConfig(name, providers[name].Issuer, "claims: { user: preferred_username }")
		}
	}
	l := signinLab(t, setup{identity: identity, files: map[string]string{"users.yaml": usersFile}, routes: `  - match: { path: /mail/ }
    allow: [ emails: ["*@company.com"] ]
    upstream: %[1]q
  - match: { path: /robots/ }
    bearer: true
    upstream: %[1]q
  - match: { path: /own/ }
    token: { type: evergate }
    upstream: %[1]q
` + idtokenDeny + usualRoutes}, providers)
	corp.ChangeClient(func(c *idp.Client) {
		c.RedirectURIs = append(c.RedirectURIs, "https://"+l.host+"/.evergate/callback/corp-info")
	})
	idtokens.try(t, l)
}

// idtokenPublish has a provider publish the keys of all forgeries from the start: a gateway fetches
// keys for a kid that it does not know, and not for each of so many.
func idtokenPublish(p *oidctest.Provider, forgeries []oidctest.Forgery) {
	var keys []any
	algs := []string{"RS256"}
	named := map[string]bool{}
	for _, f := range forgeries {
		var k idp.Knobs
		f.Turn(&k)
		if k.MutateJWKS != nil {
			set := map[string]any{"keys": []any{}}
			k.MutateJWKS(set)
			all, _ := set["keys"].([]any)
			for _, key := range all {
				// Of one key under one name the first is enough, which fits the most algorithms: two would be none.
				jwk, _ := key.(map[string]any)
				if name := fmt.Sprint(jwk["kid"], jwk["crv"]); !named[name] {
					named[name] = true
					keys = append(keys, key)
				}
			}
		}
		if k.MutateMetadata != nil {
			md := map[string]any{}
			k.MutateMetadata(md)
			listed, _ := md["id_token_signing_alg_values_supported"].([]string)
			for _, alg := range listed {
				if !slices.Contains(algs, alg) {
					algs = append(algs, alg)
				}
			}
		}
	}
	p.Turn(func(k *idp.Knobs) {
		k.NoPAR = true
		k.MutateJWKS = func(set map[string]any) {
			own, _ := set["keys"].([]any)
			set["keys"] = slices.Concat(own, keys)
		}
		k.MutateMetadata = func(md map[string]any) { md["id_token_signing_alg_values_supported"] = algs }
	})
}

// idtokenTurn has a provider give what f forges, with what it publishes left as it is.
func idtokenTurn(f oidctest.Forgery) func(*idp.Knobs) {
	return func(k *idp.Knobs) {
		keys, metadata := k.MutateJWKS, k.MutateMetadata
		f.Turn(k)
		k.MutateJWKS, k.MutateMetadata = keys, metadata
	}
}

// idtokenForged are forgeries of the catalogue by the beginnings of their names, and more.
func idtokenForged(l *lab, prefixes []string, more ...oidctest.Forgery) (all []oidctest.Forgery) {
	for _, f := range oidctest.Forgeries(l.providers["corp"]) {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.Name, p) }) {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		l.t.Errorf("nothing is forged under %q", prefixes)
	}
	return append(all, more...)
}

// idtokensRefused has corp give each of them at a sign-in of its own, and at a renewal, where
// the session goes on as who it was. It returns why each was refused, as the audit log says.
func (l *lab) idtokensRefused(all []oidctest.Forgery) (details []string) {
	l.t.Helper()
	var events []string
	p := l.providers["corp"]
	for _, f := range all {
		l.signinTurn("corp", idtokenTurn(f))
		begun := l.signinBegin("corp")
		r := l.signinVisit(l.signinAnswer(begun, oidctest.Alice).RequestURI(), begun.cookie)
		if event := l.signinRefused(r); event == "" {
			l.t.Errorf("%s: an ID token that %s signed somebody in", f.Name, f.What)
		} else {
			events = append(events, event)
		}
		if n := p.Lured(); n != 0 {
			l.t.Fatalf("%s: %d requests to an address that only the token names", f.Name, n)
		}
		l.denied(l.get("/app", begun.cookie))
	}
	l.signinSaw(traces{events: events})
	for _, e := range l.events()[l.before.audit:] {
		// What was refused has to be the token, and not the way to it.
		if detail := fmt.Sprint(e["detail"]); e["reason"] == "refused" && !strings.Contains(detail, "ID token") {
			l.t.Errorf("the audit log says %q", detail)
		}
		details = append(details, fmt.Sprint(e["detail"]))
	}
	l.before = l.marks()
	app := 0
	events = nil
	for _, f := range all {
		p.Turn(func(k *idp.Knobs) { *k = idtokenGood(*k) })
		cookie := l.signinDone(l.signinWhole("corp", oidctest.Alice)) // a token is renewed once for an app's no
		p.Turn(idtokenTurn(f))
		before := p.Stats().RefreshGrants
		r := l.idtokenRenewed(cookie)
		if app++; r.StatusCode == http.StatusOK {
			app++ // the request was sent once more
		} else if events = append(events, "session.renewal_failed/unavailable"); !strings.Contains(f.Name, "3 MB") { // such an answer is none at all
			l.t.Errorf("%s, at a renewal: got %d %.200q", f.Name, r.StatusCode, r.body)
		}
		if p.Stats().RefreshGrants != before+1 {
			l.t.Errorf("%s: nothing was renewed", f.Name)
		}
		events = append(events, "session.started")
	}
	for _, g := range l.signinSaw(traces{app: app, sessions: len(all), events: events}) {
		if user := g.Header.Get("X-Forwarded-User"); user != "corp/alice" || g.Header.Get("X-Forwarded-Groups") != "staff,admins" {
			l.t.Errorf("after a renewal with a token that has to be refused the app got\n%s", g.head())
		}
	}
	return details
}

// idtokenGood are knobs with nothing forged.
func idtokenGood(k idp.Knobs) idp.Knobs {
	return idp.Knobs{NoPAR: k.NoPAR, MutateJWKS: k.MutateJWKS, MutateMetadata: k.MutateMetadata}
}

// idtokenRenewed is a request for which the gateway renews the access token: the app says that
// the one of before is not valid any more.
func (l *lab) idtokenRenewed(cookie string) *reply {
	l.t.Helper()
	refused := false
	l.app.set(func(g *got) string {
		if !refused {
			refused = true
			return answer(401, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n", "")
		}
		return echo(g)
	})
	defer l.app.set(nil)
	return l.get("/app", cookie)
}

// idtokenMutated is a forgery of claims and header, which the provider signs.
func idtokenMutated(name string, mutate func(h, c map[string]any)) oidctest.Forgery {
	return oidctest.Forgery{Name: name, What: "has " + name, Turn: func(k *idp.Knobs) { k.MutateIDToken = mutate }}
}

// idtokenSets sets a claim.
func idtokenSets(name string, value any) oidctest.Forgery {
	return idtokenMutated(fmt.Sprintf("%s %.40v", name, value), func(_, c map[string]any) { c[name] = value })
}

// idtokenHeads sets a member of the header.
func idtokenHeads(name string, value any) oidctest.Forgery {
	return idtokenMutated(fmt.Sprintf("header %s %.40v", name, value), func(h, _ map[string]any) { h[name] = value })
}

// idtokenShifted moves a time.
func idtokenShifted(name string, d time.Duration) oidctest.Forgery {
	return idtokenMutated(fmt.Sprint(name, " moved by ", d), func(_, c map[string]any) {
		if n, ok := c[name].(int64); ok {
			c[name] = n + int64(d/time.Second)
		} else {
			c[name] = time.Now().Add(d).Unix()
		}
	})
}

// idtokenCase is a case of forgeries alone.
func idtokenCase(prefixes []string, more ...oidctest.Forgery) func(*testing.T, *lab) {
	return func(_ *testing.T, l *lab) { l.idtokensRefused(idtokenForged(l, prefixes, more...)) }
}

const idtokenRefused = "nobody is signed in, and a page says so in words of its own"

// idtokens are what a provider, or somebody in its place, can say of who signed in.
var idtokens = &section{name: "ID tokens, JWTs and keys", test: "TestIDTokens", attacks: slices.Concat([]attack{
	{"T-01", "critical", "an ID token of `alg: none`, with and without a signature", idtokenRefused, idtokenCase([]string{"T-01", "T-02 alg none"})},
	{"T-02", "critical", "`nOnE`, an empty alg, none at all, null", idtokenRefused, idtokenCase([]string{"T-02"}, idtokenHeads("alg", []any{"RS256"}), idtokenHeads("alg", 7))},
	{"T-03", "critical", "HS256 keyed with the provider's public key, as PEM and DER, with the client secret, and with nothing", idtokenRefused, idtokenCase([]string{"T-03", "T-04"})},
	{"T-05", "critical", "the signature stripped; two, four and five parts; padded, broken over lines, and in JSON", idtokenRefused, idtokenCase([]string{"T-05", "encoding"})},
	{"T-06", "critical", "the signature of another token, claims changed after signing, and a stranger's signature under the known kid", idtokenRefused, idtokenCase([]string{"T-06"})},
	{"T-07", "critical", "a key in the header (`jwk`), also under the provider's kid", idtokenRefused, idtokenCase([]string{"T-07"})},
	{"T-08", "critical", "`jku` and `x5u` to an attacker's server", idtokenRefused + "; the address is not asked", idtokenCase([]string{"T-08"})},
	{"T-09", "critical", "`x5c` with a certificate of the attacker's own", idtokenRefused, idtokenCase([]string{"T-09"})},
	{"T-10", "critical", "`crit: [\"x\"]`, and `crit` that is empty or null", idtokenRefused, idtokenCase([]string{"T-10"}, idtokenHeads("crit", []any{}), idtokenHeads("crit", nil))},
	{"T-11", "critical", "`b64: false` with and without `crit`", idtokenRefused, idtokenCase([]string{"T-11"}, idtokenHeads("b64", false), idtokenHeads("b64", "false"))},
	{"T-12", "high", "a kid that is a path, SQL, 100 kB long, a number, unknown, or left out where it could be several keys", idtokenRefused + "; unknown kids have keys fetched a few times, not each time", func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		before := p.Stats().JWKSFetches
		unknown := idtokenForged(l, []string{"T-12 kid unknown"})
		l.idtokensRefused(slices.Concat(idtokenForged(l, []string{"T-12"}, idtokenHeads("kid", []any{"a"}), idtokenHeads("kid", nil)), slices.Repeat(unknown, 10)))
		if n := p.Stats().JWKSFetches - before; n > 4 {
			t.Errorf("the keys were fetched %d times", n)
		}
	}},
	{"T-15", "high", "a key that is published for encryption, for another algorithm, or may only encrypt", idtokenRefused, idtokenCase([]string{"T-15"})},
	{"T-16", "high", "RS256 with an EC key, ES384 with a P-256 key, ES256 with a P-384 key", idtokenRefused, idtokenCase([]string{"T-16"})},
	{"T-17", "high", "an ES256 signature in DER, and one of zeros", idtokenRefused, idtokenCase([]string{"T-17"})},
	{"T-18", "high", "published RSA keys of 512 and of 16,384 bits and with exponent 1, and an algorithm that the metadata do not list", idtokenRefused, idtokenCase([]string{"T-18"})},
	{"T-19", "critical", "iss of another, with a slash more, in capitals, in a list, missing", idtokenRefused, idtokenCase([]string{"T-19"}, idtokenSets("iss", ""), idtokenSets("iss", nil))},
	{"T-20", "critical", "aud of another, longer than ours, missing, empty, a number, an object; ours beside a number, an object or an empty name", idtokenRefused,
		idtokenCase([]string{"T-20", "T-21"}, idtokenSets("aud", []any{oidctest.ClientID, 7}), idtokenSets("aud", []any{oidctest.ClientID, map[string]any{}}), idtokenSets("aud", []any{oidctest.ClientID, ""}),
			idtokenSets("aud", strings.ToUpper(oidctest.ClientID)), idtokenSets("aud", oidctest.ClientID+" other"))},
	{"T-22", "critical", "azp of another client, empty, null, and in a list", idtokenRefused, idtokenCase([]string{"T-22"}, idtokenSets("azp", ""), idtokenSets("azp", nil), idtokenSets("azp", []any{oidctest.ClientID}))},
	{"T-24", "critical", "exp past, with a fraction, missing, a text, negative, null, `1e300`", idtokenRefused, idtokenCase([]string{"T-24"}, idtokenSets("exp", -1e300), idtokenSets("exp", 9.3e18), idtokenSets("exp", true), idtokenSets("exp", []any{4102444800}))},
	{"T-25", "critical", "iat missing, tomorrow, a year ago, a text, before and beyond all time", idtokenRefused, idtokenCase([]string{"T-25"}, idtokenSets("iat", 1e300), idtokenSets("iat", -1e300), idtokenSets("iat", nil))},
	{"T-26", "critical", "nbf in an hour, beyond all time, a text", idtokenRefused, idtokenCase([]string{"T-26"}, idtokenSets("nbf", 1e300), idtokenSets("nbf", 9.3e18), idtokenSets("nbf", "now"), idtokenSets("nbf", true))},
}, idtokenKinds, idtokenPublished, idtokenPeople, idtokenShapes)}

// idtokenClaims are those of a JWT, whoever signed it.
func idtokenClaims(t *testing.T, raw string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("got %.80q, want a JWT", raw)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &claims) != nil {
		t.Fatalf("the claims of %.80q cannot be read", raw)
	}
	return claims
}

// idtokenBearer asks a route for programs with a token of a client's own.
func (l *lab) idtokenBearer(token string) *reply {
	l.t.Helper()
	return l.get("/robots/x", "Authorization: Bearer "+token)
}

// idtokenUnwelcome fails the case unless an API client's token is refused.
func (l *lab) idtokenUnwelcome(what, token string) {
	l.t.Helper()
	r := l.idtokenBearer(token)
	if r.StatusCode != http.StatusUnauthorized || !strings.Contains(r.Header.Get("WWW-Authenticate"), "invalid_token") {
		l.t.Errorf("%s as an access token: got %d %q, want 401", what, r.StatusCode, r.Header.Get("WWW-Authenticate"))
	}
}
