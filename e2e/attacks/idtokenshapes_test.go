package attacks

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// idtokenDeny are routes that refuse people by what is said of them.
const idtokenDeny = `  - match: { path: /no-guests/ }
    deny: [ groups: [guests] ]
    upstream: %[1]q
  - match: { path: /no-guests-when/ }
    deny: [ when: '"guests" in identity.groups' ]
    upstream: %[1]q
  - match: { path: /no-evil/ }
    deny: [ emails: ["*@evil.org"] ]
    upstream: %[1]q
  - match: { path: /no-suspended/ }
    deny: [ claims: { suspended: true } ]
    upstream: %[1]q
  - match: { path: /no-level-3/ }
    deny: [ claims: { level: 3 } ]
    upstream: %[1]q
  - match: { path: /no-level-3-when/ }
    deny: [ when: 'identity.claims.level == 3' ]
    upstream: %[1]q
`

// idtokenShapes are claims that a rule of deny asks about, in another shape than it takes them for.
var idtokenShapes = []attack{
	{"T-42", "high", "claims that a `deny` names, in another shape: groups in a list in a list, an object, a number, with a line break, blanks, commas or `null` beside them; an address in a list, an object, with a line break or two `@`; `suspended` as 1, `\"TRUE\"` or an object; `level` as 3.0, 3e0 or `\"3.0\"`; at sign-in and at a renewal",
		"403, and the log says which claim came in which shape, without its value; whoever lacks the claim passes", func(t *testing.T, l *lab) {
			p := l.providers["corp"]
			app, sessions := 0, 0
			var events []string
			turn := func(name string, value any) {
				l.signinTurn("corp", func(k *idp.Knobs) {
					k.MutateIDToken = func(_, c map[string]any) {
						if c[name] = value; value == nil {
							delete(c, name)
						}
					}
				})
			}
			try := func(name string, value any, refuses bool, at ...string) {
				t.Helper()
				turn(name, value)
				cookie := l.signinDone(l.signinWhole("corp", oidctest.Alice))
				sessions, events = sessions+1, append(events, "session.started")
				for _, at := range at {
					want := http.StatusOK
					if refuses {
						want = http.StatusForbidden
					} else {
						app++
					}
					if got := l.get("/"+at+"/x", cookie).StatusCode; got != want {
						t.Errorf("%s %v at %s: got %d, want %d", name, value, at, got, want)
					}
				}
				p.Turn(func(k *idp.Knobs) { k.MutateIDToken = nil })
			}
			both := []string{"no-guests", "no-guests-when"}
			for _, groups := range []any{[]any{[]any{"guests"}}, []any{"staff", []any{"guests"}}, map[string]any{"guests": true}, map[string]any{"roles": []any{"guests"}}, []any{map[string]any{"name": "guests"}},
				"guests", "guests\n", []any{"guests\n"}, []any{" guests "}, "staff,guests", "staff guests", 7, []any{"staff", 7}, []any{"staff", nil}, true, []any{"staff", "guests"}} {
				try("groups", groups, true, both...)
			}
			for _, groups := range []any{nil, "", []any{}, "staff", []any{"staff", "Domain Users"}} {
				try("groups", groups, false, both...)
			}
			for _, email := range []any{"mallory@evil.org", []any{"mallory@evil.org"}, map[string]any{"value": "mallory@evil.org"}, "mallory@evil.org\n", "mallory@evil.org@company.com", "M <mallory@evil.org>"} {
				try("email", email, true, "no-evil")
			}
			for _, email := range []any{nil, "", "mallory@good.org"} {
				try("email", email, false, "no-evil")
			}
			for _, suspended := range []any{true, "true", "TRUE", "yes", 1, 0, []any{true}, []any{1}, map[string]any{"value": true}, " true"} {
				try("suspended", suspended, true, "no-suspended")
			}
			for _, suspended := range []any{nil, false, "false", []any{}} {
				try("suspended", suspended, false, "no-suspended")
			}
			for _, level := range []any{3, json.RawMessage("3.0"), json.RawMessage("3e0"), json.RawMessage("30e-1"), []any{json.RawMessage("3.0")}, "3", "3.0", true, map[string]any{"of": 3}} {
				try("level", level, true, "no-level-3")
			}
			for _, level := range []any{json.RawMessage("3.0"), 3} {
				try("level", level, true, "no-level-3-when")
			}
			for _, level := range []any{nil, 4, "four", json.RawMessage("3.5")} {
				try("level", level, false, "no-level-3", "no-level-3-when")
			}
			// A renewal brings it.
			cookie := l.signinDone(l.signinWhole("corp", oidctest.Alice))
			sessions, events = sessions+1, append(events, "session.started")
			l.get("/no-guests/x", cookie).status(t, http.StatusOK)
			turn("groups", map[string]any{"guests": true})
			l.idtokenRenewed(cookie)
			l.get("/no-guests/x", cookie).status(t, http.StatusForbidden)
			p.Turn(func(k *idp.Knobs) { k.MutateIDToken = nil })
			l.signinSaw(traces{app: app + 3, sessions: sessions, events: events})
			if log := l.out.from(l.before.log); !strings.Contains(log, "provider.groups_unread") || !strings.Contains(log, "a list with a list in it") || !strings.Contains(log, "the claim suspended is a number, and the rule asks for true or false") {
				t.Error("the log does not tell the operator which claim came in which shape")
			}
		}},
}
