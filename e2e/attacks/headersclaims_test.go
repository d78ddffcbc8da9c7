package attacks

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// headersOP is the provider of TestHeaders.
var headersOP *oidctest.Provider

// headersProvider is an entry of identity.
func headersProvider(issuer string) string {
	return fmt.Sprintf("  - oidc: { issuer: %q, client_id: evergate, client_secret_file: oidc.secret, scopes: [openid, profile, email, groups, offline_access] }\n", issuer)
}

// headersAllow registers the lab at the provider.
func headersAllow(l *lab, p *oidctest.Provider) {
	p.ChangeClient(func(c *idp.Client) {
		c.RedirectURIs = append(c.RedirectURIs, "https://"+l.host+"/.evergate/callback/oidc")
	})
}

// headersSignInAt is signIn with a provider, whose users all have the same password. A status other
// than 303 is what the callback was refused with.
func (l *lab) headersSignInAt(p *oidctest.Provider, user string) (cookie string, status int) {
	l.t.Helper()
	r := l.get("/.evergate/login/oidc?rd=/")
	if r.StatusCode != http.StatusSeeOther {
		l.t.Fatalf("sign in at the provider: got %d %.300s", r.StatusCode, r.body)
	}
	flow := l.cookiesOf(r)
	to := p.SignIn(l.t, nil, r.Header.Get("Location"), user, password)
	l.secrets.add("a code", to.Query().Get("code"))
	before := len(l.events())
	if r = l.get(to.RequestURI(), flow); r.StatusCode == http.StatusSeeOther {
		cookie = l.cookiesOf(r)
		l.heard(before, "session.started")
	} else {
		l.heard(before, "login.failed")
	}
	l.before = l.marks()
	return cookie, r.StatusCode
}

// headersPeople are users whose claims are an attacker's, by their user names.
func headersPeople(c *idp.Config) {
	long := strings.Repeat("x", 64<<10)
	for name, claims := range map[string]map[string]any{
		"crlf":   {"name": "a\r\nX-Auth-User: admin"},
		"lf":     {"name": "a\nX-Auth-User: admin\n\nGET /admin/ HTTP/1.1"},
		"cr":     {"name": "a\rX-Auth-User: admin"},
		"nul":    {"name": "a\x00admin"},
		"sep":    {"name": "a\u2028X-Auth-User: admin"},
		"long":   {"name": long, "email": long + "@example.com"},
		"space":  {"name": " admin "},
		"mark":   {"name": "admin\ufeff", "preferred_username": "admin\ufeff"},
		"front":  {"name": "\ufeffadmin", "preferred_username": "\ufeffadmin"},
		"umlaut": {"name": "Žofie Über"},
		"user":   {"preferred_username": "root\r\nX-Forwarded-Groups: admin", "email": "a@example.com\r\nX-Auth-User: admin"},
		"comma":  {"groups": []string{"users,admin"}},
		"semi":   {"groups": []string{"a;admin", "a admin", " admin", "admin ", "ADMIN", "admin\u00a0", "\ufeffadmin"}},
		"line":   {"groups": []string{"users", "x\r\nX-Forwarded-Groups: admin"}},
		"coded":  {"groups": []string{"users%2Cadmin", "", "%61dmin"}},
		"nested": {"groups": []any{[]string{"admin"}, "users", 7, nil}},
		"plain":  {"groups": []string{"admin", "users"}, "name": "Plain"},
	} {
		c.Users = append(c.Users, idp.User{Subject: "sub-" + name, Username: name, Password: password, Claims: claims})
	}
	c.AccessTTL = 2 * time.Second // so that a handle rotates 2 s after the sign-in: see H-26
}

// headersClaims are about what a provider says of people.
var headersClaims = []attack{
	{"H-21", "high", "claims of a provider that hold CR LF, LF, CR, NUL, a line separator, 64 kB, spaces at the ends, and letters beyond ASCII",
		"what cannot be a header is left out, or the sign-in refused; the app never gets a line more, and no part of a claim", func(t *testing.T, l *lab) {
			count := 0
			for user, want := range map[string]string{"crlf": "", "lf": "", "cr": "", "nul": "", "sep": "", "long": "", "space": "", "mark": "", "front": "", "user": "", "umlaut": "Žofie Über", "plain": "Plain"} {
				cookie, status := l.headersSignInAt(headersOP, user)
				if cookie == "" {
					if want != "" || status != http.StatusForbidden && status != http.StatusBadGateway {
						t.Errorf("%s: the sign-in was answered %d", user, status)
					}
					l.saw(traces{})
					continue
				}
				count++
				l.get("/set/x", cookie).status(t, 200)
				for _, g := range l.saw(traces{app: 1}) {
					if got := g.Header["X-Wiki-Name"]; want == "" && got != nil || want != "" && (len(got) != 1 || got[0] != want) {
						t.Errorf("%s: the app is told of the name %.100q, want %q", user, got, want)
					}
					g.without(t, "X-Auth-User")
					if len(g.head()) > 16<<10 || g.Header.Get("X-Forwarded-Groups") != "" && user != "plain" || strings.ContainsAny(g.Header.Get("X-Forwarded-User"), "\ufeff") || strings.Contains(g.Header.Get("X-Forwarded-User"), "root") {
						t.Errorf("%s: the app got %.3000q", user, g.head())
					}
				}
			}
			if count < 5 {
				t.Errorf("%d of the people got in, so this shows little", count)
			}
		}},
	{"H-22", "high", "groups such as `users,admin`, `a;admin`, ` admin`, `ADMIN`, `users%2Cadmin`, one with a line break, one with a no-break space or a byte order mark at its end, a list in the list",
		"no rule takes them for admin, and the separator is escaped in what the app gets", func(t *testing.T, l *lab) {
			for user, want := range map[string]string{"comma": "users%2Cadmin", "semi": "a;admin,a admin,%20admin,admin%20,ADMIN,admin%C2%A0,%EF%BB%BFadmin", "line": "", "coded": "users%252Cadmin,%2561dmin", "nested": "", "plain": "admin,users"} {
				cookie, _ := l.headersSignInAt(headersOP, user)
				if cookie == "" {
					l.saw(traces{})
					continue
				}
				app, status := 1, 403
				if user == "plain" {
					app, status = 2, 200
				}
				l.get("/admin/x", cookie).status(t, status)
				l.get("/x", cookie).status(t, 200)
				for _, g := range l.saw(traces{app: app}) {
					got := g.Header["X-Forwarded-Groups"]
					if want != "" && (len(got) != 1 || got[0] != want) || want == "" && strings.Contains(strings.Join(got, ","), "admin") {
						t.Errorf("%s: the app is told of %q, want %q", user, got, want)
					}
					if split := strings.Split(strings.Join(got, ","), ","); user != "plain" {
						for _, one := range split {
							if plain, err := url.PathUnescape(one); err == nil && plain == "admin" {
								t.Errorf("%s: the app could take %q for admin", user, got)
							}
						}
					}
				}
			}
		}},
	{"H-26", "medium", "the app answers `Connection: Set-Cookie, Cache-Control` when the gateway has a new handle for the browser",
		"the browser gets it all the same, and `no-store`", func(t *testing.T, l *lab) {
			cookie, _ := l.headersSignInAt(headersOP, "plain")
			l.app.answers(t, func(*got) string {
				return answer(200, "Connection: Set-Cookie, Cache-Control, X-Request-Id\r\nSet-Cookie: mine=1\r\nCache-Control: public\r\n", "")
			})
			time.Sleep(2100 * time.Millisecond)
			r := l.get("/x", cookie)
			fresh := l.cookiesOf(r)
			if !strings.Contains(fresh, "__Host-Http-evergate=") || strings.Contains(fresh, "mine") || !strings.Contains(r.Header.Get("Cache-Control"), "no-store") {
				t.Fatalf("the browser got %v", r.Header)
			}
			l.get("/x", fresh).status(t, 200)
			for _, g := range l.saw(traces{app: 2}) {
				if g.Header.Get("X-Forwarded-User") == "" {
					t.Errorf("the app is told of nobody: %q", g.head())
				}
			}
		}},
}
