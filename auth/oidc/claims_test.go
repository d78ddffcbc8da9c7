package oidc_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
)

func TestAllow(t *testing.T) {
	p := newOP(t)
	m := p.method(func(c *oidc.Config) { c.Allow = &auth.Policy{Allow: []*auth.Rule{{Groups: []string{"board"}}}} })
	login, err := p.complete(m)
	if denied, ok := errors.AsType[*auth.Denied](err); !ok || login == nil || login.Identity.User != "corp/al" || !strings.Contains(denied.Missing, "board") {
		t.Errorf("got %v, %v, want the Login and a Denied", login, err)
	}
	p.set(func() { p.claims = func(c map[string]any) { c["groups"] = []string{"board"} } })
	if _, err := p.complete(m); err != nil {
		t.Errorf("in the group: got %v", err)
	}
}

// TestEmails is T-39: an address that decides must be one, and vouched for.
func TestEmails(t *testing.T) {
	for name, row := range map[string]struct {
		email, verified any
		trust, want     bool
	}{
		"verified":               {"a@company.com", true, false, true},
		"verified in words":      {"a@company.com", "true", false, true},
		"not verified":           {"a@company.com", false, false, false},
		"not verified, in words": {"a@company.com", "false", false, false},
		"a number":               {"a@company.com", 1, false, false},
		"does not say":           {"a@company.com", nil, false, false},
		"trusted":                {"a@company.com", nil, true, true},
		"another case":           {"a@COMPANY.com", true, false, true},
		"two @":                  {"attacker@evil.com@company.com", true, true, false},
		"a line end":             {"a@company.com\n", true, true, false},
		"a homoglyph":            {"a@cоmpany.com", true, true, false},
		"no text":                {[]string{"a@company.com"}, true, true, false},
	} {
		p := newOP(t)
		p.set(func() {
			p.claims = func(c map[string]any) { c["email"], c["email_verified"] = row.email, row.verified }
		})
		m := p.method(func(c *oidc.Config) {
			c.TrustEmail, c.Allow = row.trust, &auth.Policy{Allow: []*auth.Rule{{Emails: []string{"*@company.com"}}}}
		})
		if _, err := p.complete(m); (err == nil) != row.want {
			t.Errorf("%s: got %v, want let in %v", name, err, row.want)
		}
	}
}

func TestClaims(t *testing.T) {
	for name, row := range map[string]struct {
		claims map[string]any
		conf   oidc.ClaimMap
		groups []string
		user   string
	}{
		"a list":               {map[string]any{"groups": []string{"a", "b"}}, oidc.ClaimMap{}, []string{"a", "b"}, "alice"},
		"a text":               {map[string]any{"groups": "a"}, oidc.ClaimMap{}, []string{"a"}, "alice"},
		"objects are no group": {map[string]any{"groups": []any{map[string]any{"name": "a"}, "b", 7}}, oidc.ClaimMap{}, []string{"b"}, "alice"},
		"dotted":               {map[string]any{"realm_access": map[string]any{"roles": []string{"r"}}}, oidc.ClaimMap{Groups: []string{"realm_access.roles"}}, []string{"r"}, "alice"},
		"an exact name first":  {map[string]any{"https://x.y/groups": []string{"u"}, "https://x": map[string]any{"y/groups": "no"}}, oidc.ClaimMap{Groups: []string{"https://x.y/groups"}}, []string{"u"}, "alice"},
		"several add up":       {map[string]any{"groups": []string{"a", "b"}, "roles": []string{"b", "c"}}, oidc.ClaimMap{Groups: []string{"groups", "roles"}}, []string{"a", "b", "c"}, "alice"},
		"the first user":       {map[string]any{"upn": "al@corp", "groups": nil}, oidc.ClaimMap{User: []string{"nick", "upn", "sub"}}, nil, "al@corp"},
		"no dots to nowhere":   {map[string]any{"groups": "x"}, oidc.ClaimMap{Groups: []string{"groups.a", "a.b.c"}}, nil, "alice"},
	} {
		p := newOP(t)
		p.set(func() {
			p.claims = func(c map[string]any) {
				delete(c, "groups")
				for k, v := range row.claims {
					c[k] = v
				}
			}
		})
		login := p.signIn(p.method(func(c *oidc.Config) { c.Claims, c.Prefix = row.conf, "" }))
		if id := login.Identity; !slices.Equal(id.Groups, row.groups) || id.User != row.user {
			t.Errorf("%s: got groups %q user %q, want %q %q", name, id.Groups, id.User, row.groups, row.user)
		}
	}
}

func TestGroupsOverage(t *testing.T) {
	for name, claims := range map[string]map[string]any{
		"_claim_names": {"_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": "https://graph.example/"}}},
		"hasgroups":    {"hasgroups": true},
		"in words":     {"hasgroups": "true"},
	} {
		p := newOP(t)
		p.set(func() {
			p.claims = func(c map[string]any) {
				delete(c, "groups")
				for k, v := range claims {
					c[k] = v
				}
			}
		})
		login := p.signIn(p.method(func(c *oidc.Config) { c.Kind = "entra" }))
		if !login.Identity.GroupsOmitted || !strings.Contains(p.log.String(), `"level":"WARN"`) {
			t.Errorf("%s: got omitted %v and log %s", name, login.Identity.GroupsOmitted, p.log)
		}
	}
}

// TestGroupsOfAnotherShape: a deny counts where the claim of groups cannot be read, the operator is told in
// which shape it came, at sign-in and at the renewal that brings it, and nobody is signed out for having no groups.
func TestGroupsOfAnotherShape(t *testing.T) {
	guests := &auth.Policy{Deny: []*auth.Rule{{Groups: []string{"guests"}}}}
	object := func(v any) map[string]any { return map[string]any{"groups": v} }
	for _, c := range []struct {
		name   string
		claims map[string]any
		path   string // "" is groups
		denies bool
		found  string // "" is nothing to tell
	}{
		{"no claim", map[string]any{}, "", false, ""},
		{"null", object(nil), "", false, ""},
		{"an empty text", object(""), "", false, ""},
		{"an empty list", object([]any{}), "", false, ""},
		{"a list", object([]any{"staff", "", "Domain Users"}), "", false, ""},
		{"the list", object([]any{"staff", "guests"}), "", true, ""},
		{"one text", object("guests"), "", true, ""},
		{"another text", object("staff of guests"), "", true, ""},
		{"another text without it", object("Domain Users"), "", false, ""},
		{"a list in a list", object([]any{[]any{"guests"}}), "", true, "a list with a list in it"},
		{"a list beside names", object([]any{"staff", []any{"guests"}}), "", true, "a list with a list in it"},
		{"an object", object(map[string]any{"guests": true}), "", true, "an object"},
		{"an object of lists", object(map[string]any{"roles": []any{"guests"}}), "", true, "an object"},
		{"objects in a list", object([]any{map[string]any{"name": "guests"}}), "", true, "a list with an object in it"},
		{"a line break behind a name", object([]any{"staff", "guests\n"}), "", true, ""},
		{"blanks around a text", object(" guests "), "", true, ""},
		{"a number", object(7), "", true, "a number"},
		{"a number beside names", object([]any{"staff", 7}), "", true, "a list with a number in it"},
		{"a truth value", object(true), "", true, "a truth value"},
		{"null beside names", object([]any{"staff", nil}), "", true, "a list with null in it"},
		{"a path", map[string]any{"realm_access": map[string]any{"roles": []any{"staff"}}}, "realm_access.roles", false, ""},
		{"a path to nothing", map[string]any{"realm_access": map[string]any{}}, "realm_access.roles", false, ""},
		{"a path through a list", map[string]any{"realm_access": []any{map[string]any{"roles": []any{"guests"}}}}, "realm_access.roles", true,
			"the claim realm_access.roles lies in what is no object, but a list"},
		{"a path that the provider keeps elsewhere", map[string]any{"_claim_names": map[string]any{"roles": "src1"}}, "roles", true,
			"the provider keeps the claim roles elsewhere, where it is not asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, shape := newOP(t), c.claims
			p.set(func() {
				p.claims = func(claims map[string]any) {
					delete(claims, "groups")
					for k, v := range shape {
						claims[k] = v
					}
				}
			})
			m := p.method(func(cfg *oidc.Config) {
				if c.path != "" {
					cfg.Claims.Groups = []string{c.path}
				}
			})
			seen := 0
			check := func(when string, login *auth.Login) {
				t.Helper()
				if _, err := guests.Decide(&auth.Question{Identity: &login.Identity}); (err != nil) != c.denies {
					t.Errorf("%s: got %v, want it to be denied: %v", when, err, c.denies)
				}
				log := p.log.String()[seen:]
				if told := strings.Contains(log, "provider.groups_unread"); told != (c.found != "") || told && !strings.Contains(log, `"found":"`+c.found+`"`) {
					t.Errorf("%s: the log has %s, want it to tell of %q", when, log, c.found)
				}
				if c.found != "" && strings.Contains(log, "guests") {
					t.Errorf("%s: the log has a value: %s", when, log)
				}
			}
			check("at sign-in", p.signIn(m))
			p.set(func() { shape = map[string]any{"groups": []any{"staff"}} })
			login := p.signIn(m)
			seen = len(p.log.String())
			p.set(func() { shape = c.claims })
			fresh, err := m.Refresh(t.Context(), login, "")
			if err != nil {
				t.Fatal(err)
			}
			check("at a renewal", fresh)
			again, err := m.Refresh(t.Context(), fresh, "")
			if err != nil {
				t.Fatal(err)
			}
			check("at the next renewal", again)
			if log := p.log.String()[seen:]; strings.Count(log, "groups_unread") > 1 {
				t.Errorf("it is told more than once: %s", log)
			}
		})
	}
}

// TestNamesThatAppsDoNotGet: the operator is told once for a session of a name that is left out
// of headers, also behind the name of the provider.
func TestNamesThatAppsDoNotGet(t *testing.T) {
	for name, unfit := range map[string]bool{"alice": false, "\ufeffalice": true, "alice\u200b": true, "\u0645\u06cc\u200c\u062e": false, "a\nb": true} {
		for _, prefix := range []string{"", "one/"} {
			p := newOP(t)
			p.set(func() { p.claims = func(c map[string]any) { c["preferred_username"] = name } })
			m := p.method(func(c *oidc.Config) { c.Prefix = prefix })
			login := p.signIn(m)
			want := 0
			if unfit {
				want = 1
			}
			if n := strings.Count(p.log.String(), "provider.user_unfit"); n != want {
				t.Errorf("%q behind %q: got told %d times, want %d: %s", name, prefix, n, want, p.log)
			}
			if _, err := m.Refresh(t.Context(), login, ""); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(p.log.String(), "provider.user_unfit"); n != want {
				t.Errorf("%q behind %q: got told %d times after a renewal, want %d", name, prefix, n, want)
			}
		}
	}
}

// TestNamesOfAnotherShape: a user or an address that a deny names is not got past by a claim that is no text.
func TestNamesOfAnotherShape(t *testing.T) {
	for _, v := range []any{[]any{"mallory@evil.org"}, map[string]any{"value": "mallory@evil.org"}, 7, true, nil, ""} {
		p := newOP(t)
		p.set(func() {
			p.claims = func(c map[string]any) { c["preferred_username"], c["email"], c["email_verified"] = v, v, true }
		})
		id := p.signIn(p.method(func(c *oidc.Config) { c.Claims.User = []string{"preferred_username", "sub"} })).Identity
		unread := v != nil && v != ""
		if id.User != "corp/alice" || id.Email != "" || id.UserUnread != unread || id.EmailUnread != unread {
			t.Errorf("%v: got %+v", v, id)
		}
		for _, rule := range []*auth.Rule{{Users: []string{"corp/mallory@evil.org"}}, {Emails: []string{"*@evil.org"}}} {
			if _, err := (&auth.Policy{Deny: []*auth.Rule{rule}}).Decide(&auth.Question{Identity: &id}); (err != nil) != unread {
				t.Errorf("%v: got %v, want it to be refused: %t", v, err, unread)
			}
		}
	}
}

// TestNumbersAreNumbers: what a token says as a number is one for rules and expressions, from the beginning, and one of many
// digits keeps them.
func TestNumbersAreNumbers(t *testing.T) {
	p := newOP(t)
	p.set(func() {
		p.claims = func(c map[string]any) {
			c["level"], c["id"], c["deep"] = json.RawMessage("3.0"), json.RawMessage("9007199254740993"), map[string]any{"levels": []any{json.RawMessage("3e0")}}
			c["beyond"] = json.RawMessage("1e999")
		}
	})
	login := p.signIn(p.method())
	for _, when := range []string{`identity.claims.level == 3`, `identity.claims.level >= 3 and identity.claims.level < 4`, `3 in identity.claims.deep.levels`} {
		allow, err := (&auth.Policy{Allow: []*auth.Rule{{When: when}}}).Compiled()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := allow.Decide(&auth.Question{Identity: &login.Identity}); err != nil {
			t.Errorf("%s: got %v", when, err)
		}
	}
	if c := login.Identity.Claims; c["id"] != "9007199254740993" || c["beyond"] != "1e999" {
		t.Errorf("got %#v", c)
	}
}

// TestNullHidesNothing: a claim that is null in the ID token does not stand against what userinfo says.
func TestNullHidesNothing(t *testing.T) {
	p := newOP(t)
	p.set(func() {
		p.claims = func(c map[string]any) { c["groups"], c["email"], c["email_verified"] = nil, nil, true }
	})
	p.handle(pathInfo, says(200, `{"sub":"alice","groups":["guests"],"email":"mallory@example.org"}`))
	login := p.signIn(p.method(func(c *oidc.Config) { c.Userinfo = true }))
	if id := login.Identity; !slices.Equal(id.Groups, []string{"guests"}) || id.Email != "" || id.EmailVerified {
		t.Errorf("got %+v", id)
	}
}

func TestUserinfo(t *testing.T) {
	info := func(p *op, claims map[string]any) string {
		c := map[string]any{"iss": p.srv.URL, "aud": clientID, "sub": "alice", "groups": []string{"from-info"}}
		for k, v := range claims {
			c[k] = v
		}
		return p.sign(c, nil)
	}
	for name, row := range map[string]struct {
		h    func(p *op) http.HandlerFunc
		want string // a group, "refused" or "outage"
	}{
		"plain":           {func(*op) http.HandlerFunc { return says(200, `{"sub":"alice","groups":["from-info"]}`) }, "from-info"},
		"another subject": {func(*op) http.HandlerFunc { return says(200, `{"sub":"mallory","groups":["from-info"]}`) }, "refused"},
		"no subject":      {func(*op) http.HandlerFunc { return says(200, `{"groups":["from-info"]}`) }, "refused"},
		"signed":          {func(p *op) http.HandlerFunc { return says(200, info(p, nil), "Content-Type", "application/jwt") }, "from-info"},
		"signed for another": {func(p *op) http.HandlerFunc {
			return says(200, info(p, map[string]any{"aud": "other"}), "Content-Type", "application/jwt")
		}, "refused"},
		"signed by another": {func(p *op) http.HandlerFunc {
			return says(200, info(p, map[string]any{"iss": "https://evil.example"}), "Content-Type", "application/jwt")
		}, "refused"},
		"signed and broken": {func(p *op) http.HandlerFunc {
			return says(200, info(p, nil)[:40]+"x", "Content-Type", "application/jwt")
		}, "refused"},
		"503":        {func(*op) http.HandlerFunc { return says(503, "") }, "outage"},
		"a page":     {func(*op) http.HandlerFunc { return says(200, "<html>", "Content-Type", "text/html") }, "outage"},
		"a redirect": {func(*op) http.HandlerFunc { return says(302, "", "Location", "https://evil.example/") }, "outage"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.set(func() {
				p.claims = func(c map[string]any) { delete(c, "groups") }
				p.meta = func(md map[string]any) { md["userinfo_signing_alg_values_supported"] = []string{"RS256"} }
			})
			p.handle(pathInfo, row.h(p))
			login, err := p.complete(p.method(func(c *oidc.Config) { c.Userinfo = true }))
			switch row.want {
			case "refused":
				refusedWith(t, name, err)
			case "outage":
				unavailable(t, name, err)
			default:
				if err != nil || !slices.Equal(login.Identity.Groups, []string{row.want}) {
					t.Fatalf("got %v, %v, want group %s", login, err, row.want)
				}
			}
			if got := p.last(pathInfo).authorization; got != "Bearer access-1" {
				t.Errorf("got authorization %q", got)
			}
		})
	}
}

func TestNoUserinfoEndpoint(t *testing.T) {
	p := newOP(t)
	p.set(func() { p.meta = func(md map[string]any) { delete(md, "userinfo_endpoint") } })
	m := p.method(func(c *oidc.Config) { c.Userinfo = true })
	login := p.signIn(m)
	if login.Identity.Name != "Alice A" {
		t.Errorf("got %+v", login.Identity)
	}
	if _, err := m.Refresh(t.Context(), login, ""); err != nil {
		t.Errorf("renewal: got %v", err)
	}
	if !strings.Contains(p.log.String(), "userinfo: false") {
		t.Error("nothing tells the operator")
	}
}

// TestAnUnverifiedAddressIsNobodysName: whoever types somebody else's address in
// at the provider is not them.
func TestAnUnverifiedAddressIsNobodysName(t *testing.T) {
	for _, c := range []struct {
		name     string
		claims   map[string]any
		edit     func(*oidc.Config)
		user     string
		verified bool
	}{
		{"verified", map[string]any{"email": "boss@corp.test", "email_verified": true}, nil, "boss@corp.test", true},
		{"not verified", map[string]any{"email": "boss@corp.test", "email_verified": false}, nil, "subject", false},
		{"nothing said", map[string]any{"email": "boss@corp.test"}, nil, "subject", false},
		{"trusted", map[string]any{"email": "boss@corp.test"}, func(c *oidc.Config) { c.TrustEmail = true }, "boss@corp.test", true},
		{"the next path", map[string]any{"email": "boss@corp.test", "nickname": "eve"},
			func(c *oidc.Config) { c.Claims.User = []string{"email", "nickname"} }, "eve", false},
		{"said of another claim", map[string]any{"email": "eve@evil.test", "email_verified": true, "upn": "boss@corp.test"},
			func(c *oidc.Config) { c.Claims.Email, c.Claims.User = []string{"upn"}, []string{"upn"} }, "subject", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newOP(t)
			p.set(func() {
				p.claims = func(claims map[string]any) {
					claims["sub"] = "subject"
					for _, name := range []string{"email", "email_verified", "upn", "nickname"} {
						delete(claims, name)
					}
					for name, v := range c.claims {
						claims[name] = v
					}
				}
			})
			edits := []func(*oidc.Config){func(cfg *oidc.Config) { cfg.Claims.User = []string{"email"} }}
			if c.edit != nil {
				edits = append(edits, c.edit)
			}
			id := p.signIn(p.method(edits...)).Identity
			if id.User != "corp/"+c.user || id.EmailVerified != c.verified {
				t.Errorf("got user %q, verified %v, want %q and %v", id.User, id.EmailVerified, c.user, c.verified)
			}
		})
	}
}
