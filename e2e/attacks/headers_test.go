package attacks

import (
	"net/http"
	"testing"
)

func init() { sections = append(sections, headers) }

func TestHeaders(t *testing.T) {
	t.Parallel()
	headers.try(t, newLab(t, setup{}))
}

// headers are what a client says about itself that only the gateway may say.
var headers = &section{name: "Headers that speak for the gateway", test: "TestHeaders", attacks: []attack{
	{"H-02", "critical", "`X-Auth-User: admin` and its kin without a session: to a public path, as a preflight, and to the gateway's own pages",
		"nothing of it reaches the app", func(t *testing.T, l *lab) {
			evil := []string{"X-Auth-User: admin", "X-Forwarded-User: admin", "X-Forwarded-Groups: admin", "Remote-User: admin"}
			l.get("/public/x", evil...).status(t, 200)
			l.one(l.request("OPTIONS", "/public/x", append(evil, "Origin: https://evil.test", "Access-Control-Request-Method: GET")...)).status(t, 200)
			for _, own := range []string{"/.evergate/ping", "/.evergate/login", "/.evergate/callback/none?error=x", "/.evergate/nothing"} {
				l.get(own, evil...)
			}
			for _, g := range l.saw(traces{app: 2}) {
				g.without(t, "X-Auth-User", "X-Forwarded-User", "X-Forwarded-Groups", "Remote-User")
			}
		}},
}}

// without fails the case if the app got one of the headers.
func (g *got) without(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if v, ok := g.Header[http.CanonicalHeaderKey(name)]; ok {
			t.Errorf("the app got %s: %q", name, v)
		}
	}
}
