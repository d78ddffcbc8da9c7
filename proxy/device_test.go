package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// TestDeviceDemands: what routes make of sessions that are bound to a device, and of those that
// are not.
func TestDeviceDemands(t *testing.T) {
	app := newApp(t, func(http.ResponseWriter, *http.Request) {})
	way := newWay(t, proxy.UpstreamOptions{Target: app.url()})
	for _, c := range []struct {
		name           string
		demand         proxy.DeviceDemand
		bound, offered bool
		status         int
		needs          bool // the session is asked for its proof
	}{
		{"a session that is not bound", proxy.DevicePreferred, false, true, 200, true},
		{"one that is", proxy.DevicePreferred, true, false, 200, true},
		{"not bound, and nobody cares", proxy.DeviceIgnored, false, true, 200, false},
		{"bound, and nobody cares", proxy.DeviceIgnored, true, false, 200, false},
		{"bound, as it has to be", proxy.DeviceRequired, true, false, 200, true},
		{"not bound yet", proxy.DeviceRequired, false, true, 403, true},
		{"not bound in time", proxy.DeviceRequired, false, false, 403, true},
	} {
		s := newSession()
		s.bound = c.bound
		asked := true
		gate := web.Serve(&proxy.Gate{
			Auth: authFunc(func(r *http.Request) (*auth.Login, error) {
				asked = auth.NeedsBinding(r.Context())
				return alice(s)(r)
			}),
			OfferKey: func(h http.Header, _ *http.Request) bool {
				if c.offered {
					h.Set("Secure-Session-Registration", "offered")
				}
				return c.offered
			},
			Router: newRouter(t, &proxy.Route{Upstream: way, Device: c.demand}),
		}, web.Options{})
		get := func(header ...string) *http.Response {
			r := httptest.NewRequest("GET", "/page?x=1", nil)
			r.AddCookie(&http.Cookie{Name: sid, Value: "alice"})
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			gate.ServeHTTP(w, r)
			return w.Result()
		}
		page := get("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", "text/html")
		if page.StatusCode != c.status || asked != c.needs {
			t.Errorf("%s: got %d, asked for the proof %v, want %d, %v", c.name, page.StatusCode, asked, c.status, c.needs)
		}
		waits, again := c.status == 403 && c.offered, ""
		if waits {
			again = "2; url=/page?x=1" // the address named, or a browser that is at /page?x=1#part stays
		}
		if page.Header.Get("Refresh") != again || (page.Header.Get("Secure-Session-Registration") != "") != waits {
			t.Errorf("%s: the page comes again %q, and has an offer %q, want %v", c.name, page.Header.Get("Refresh"), page.Header.Get("Secure-Session-Registration"), waits)
		}
		if c.status != 403 {
			continue
		}
		if body := readAll(t, "", page.Body); !strings.Contains(body, "/.evergate/logout?rd=%2Fpage%3Fx%3D1") {
			t.Errorf("%s: the page does not lead to a new sign-in: %s", c.name, body)
		}
		script := get("Accept", "application/json")
		if body := readAll(t, "", script.Body); script.StatusCode != 403 || script.Header.Get("Refresh") != "" || !strings.Contains(body, `"device_unbound"`) {
			t.Errorf("%s: a script got %d, %q: %s", c.name, script.StatusCode, script.Header.Get("Refresh"), body)
		}
	}
}

// TestClientsTokenIsBoundToNothing, so it does not open what wants a bound session.
func TestClientsTokenIsBoundToNothing(t *testing.T) {
	app := newApp(t, func(http.ResponseWriter, *http.Request) {})
	gate := web.Serve(&proxy.Gate{Auth: alice(nil),
		Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: app.url()}), Device: proxy.DeviceRequired})}, web.Options{})
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: sid, Value: "alice"}) // a Login without a Session, as a token's is
	w := httptest.NewRecorder()
	gate.ServeHTTP(w, r)
	if w.Code != 403 {
		t.Errorf("got %d, want 403", w.Code)
	}
}
