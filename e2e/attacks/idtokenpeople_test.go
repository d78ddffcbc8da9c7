package attacks

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// idtokenPeople are about who the app is told that somebody is.
var idtokenPeople = []attack{
	{"T-39", "critical", "addresses `attacker@evil.com@company.com`, with a line break, a space, a homoglyph, a bracket or a second domain; `email_verified` false, absent, 1 or `\"yes\"`: on a route for `*@company.com`",
		"403; a vouched-for address in capitals and one with `email_verified: \"true\"`, as some providers write it, pass. The app is told an address that nobody vouches for in X-Forwarded-Email all the same, and never as the name of the user", func(t *testing.T, l *lab) {
			events, app := []string{}, 0
			try := func(email, verified any) (status int) {
				l.signinTurn("corp", func(k *idp.Knobs) {
					k.MutateIDToken = func(_, c map[string]any) {
						if c["email"], c["email_verified"] = email, verified; verified == nil {
							delete(c, "email_verified")
						}
						c["preferred_username"] = nil // the address must not be taken for the name either
					}
				})
				cookie := l.signinDone(l.signinWhole("corp", oidctest.Alice))
				events = append(events, "session.started")
				status = l.get("/mail/x", cookie).StatusCode
				l.get("/app", cookie).status(t, http.StatusOK)
				app++
				l.providers["corp"].Turn(func(k *idp.Knobs) { k.MutateIDToken = nil })
				return status
			}
			for _, email := range []any{"attacker@evil.com@company.com", "attacker@company.com@evil.com", "a@company.com\n", "a\n@company.com", "a@company.com ", " a@company.com", "a@company.com\x00", "a@cоmpany.com", "a@company.com.evil.com",
				"a@evilcompany.com", "a@sub.company.com", "@company.com", "company.com", "a@", `"a@evil.com"@company.com`, "<a@company.com>", "a@company.com,b@evil.com", "a@evil.com;b@company.com", "a@COMPANY.com.", "a@[company.com]", []any{"a@company.com"}, "a@*", "*@company.com@"} {
				if status := try(email, true); status != http.StatusForbidden {
					t.Errorf("address %q: got %d, want 403", email, status)
				}
			}
			for _, verified := range []any{false, nil, "false", "yes", "1", 1, "TRUE ", []any{true}, map[string]any{"value": true}} {
				if status := try("a@company.com", verified); status != http.StatusForbidden {
					t.Errorf("email_verified %v: got %d, want 403", verified, status)
				}
			}
			for email, verified := range map[string]any{"a@company.com": true, "A@COMPANY.com": true, "b@company.com": "true"} {
				if status := try(email, verified); status != http.StatusOK {
					t.Errorf("%s, verified %v: got %d, want 200", email, verified, status)
				}
				app++
			}
			for _, g := range l.signinSaw(traces{app: app, sessions: len(events), events: events}) {
				if g.Header.Get("X-Forwarded-User") != "corp/"+oidctest.Alice.Subject || strings.ContainsAny(g.Header.Get("X-Forwarded-Email"), "\r\n\x00") || len(g.Header.Values("X-Forwarded-Email")) > 1 {
					t.Errorf("the app got\n%s", g.head())
				}
			}
		}},
	{"T-40", "critical", "the same `sub` and the same name from two issuers, a local user of that name, and names that pretend to be of another provider",
		"different people to the app: each name begins with its provider, and so does the subject of a token of the gateway's own", func(t *testing.T, l *lab) {
			cookies := map[string]string{"corp": l.signinAs("corp", oidctest.Alice), "partner": l.signinAs("partner", oidctest.Alice), "local": l.signIn("alice")}
			for _, pretends := range []string{"partner/alice", "local/alice", "../partner/alice", "alice\r\nX-Forwarded-User: local/alice", "/alice", "corp/alice", "local:alice", "partner%2falice"} {
				l.signinTurn("corp", func(k *idp.Knobs) { k.MutateIDToken = func(_, c map[string]any) { c["preferred_username"] = pretends } })
				cookies["as "+pretends] = l.signinAs("corp", oidctest.Bob)
				l.providers["corp"].Turn(func(k *idp.Knobs) { k.MutateIDToken = nil })
			}
			names, subjects := map[string]string{}, map[string]string{}
			for who, cookie := range cookies {
				l.before = l.marks()
				l.get("/own/x", cookie).status(t, http.StatusOK)
				for _, g := range l.saw(traces{app: 1, any: true}) {
					user := g.Header.Get("X-Forwarded-User")
					claims := idtokenClaims(t, strings.TrimPrefix(g.Header.Get("Authorization"), "Bearer "))
					subject := fmt.Sprint(claims["iss"], " ", claims["sub"])
					prefix := who + "/"
					if strings.HasPrefix(who, "as ") {
						prefix = "corp/"
					}
					if user != "" && !strings.HasPrefix(user, prefix) || len(g.Header.Values("X-Forwarded-User")) > 1 || !strings.HasPrefix(fmt.Sprint(claims["sub"]), prefix) {
						t.Errorf("%q: the app is told of user %q and subject %q", who, user, subject)
					}
					if other, there := names[user]; user != "" && there {
						t.Errorf("%q and %q are both %q to the app", who, other, user)
					}
					if other, there := subjects[subject]; there {
						t.Errorf("%q and %q are both %q in a token", who, other, subject)
					}
					names[user], subjects[subject] = who, who
				}
			}
		}},
}
