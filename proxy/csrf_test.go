package proxy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

const aliceCookie = "Cookie: " + sid + "=alice"

// TestCSRFShield: what a page of another origin makes a browser send does not reach the
// app, whatever the browser says of it, and what people and programs do themselves does.
func TestCSRFShield(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	shield := func() *proxy.CSRF {
		return &proxy.CSRF{Except: []string{"/hook", "/saml/", "/api/*/callback"}, Origins: []string{"https://Portal.test", "https://ide.test:8443"}}
	}
	bearer := authFunc(func(r *http.Request) (*auth.Login, error) {
		return &auth.Login{Identity: auth.Identity{User: "robot"}}, nil
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Bearer: bearer, Router: newRouter(t,
		&proxy.Route{Upstream: way, CSRF: shield(), PathChars: proxy.EncodedSlash},
		&proxy.Route{Path: "/public/", Policy: auth.Policy{Public: true}, Upstream: way, CSRF: shield()},
		&proxy.Route{Path: "/machine/", Bearer: true, Upstream: way, CSRF: shield()},
		&proxy.Route{Path: "/bare/", Upstream: way},
		&proxy.Route{Path: "/own/", CSRF: shield(), Answer: &proxy.Respond{Body: "mine"}},
	)})
	const (
		sameOrigin = "Sec-Fetch-Site: same-origin"
		sameSite   = "Sec-Fetch-Site: same-site"
		crossSite  = "Sec-Fetch-Site: cross-site"
		own        = "Origin: https://gw.test"
		evil       = "Origin: https://evil.test"
		portal     = "Origin: https://portal.test"
	)
	for _, tt := range []struct {
		name, method, path string
		lines              []string // beside alice's cookie
		passes             bool
	}{
		{"the app's own form passes", "POST", "/x", []string{sameOrigin, own}, true},
		{"the app's own form passes under no-referrer, which makes its Origin null", "POST", "/x", []string{sameOrigin, "Origin: null"}, true},
		{"what a person does without any page passes", "POST", "/x", []string{"Sec-Fetch-Site: none"}, true},
		{"a foreign form is refused", "POST", "/x", []string{crossSite, evil}, false},
		{"a foreign form without Origin is refused", "POST", "/x", []string{crossSite}, false},
		{"a foreign PUT is refused", "PUT", "/x", []string{crossSite, evil}, false},
		{"a foreign PATCH is refused", "PATCH", "/x", []string{crossSite, evil}, false},
		{"a foreign DELETE is refused", "DELETE", "/x", []string{crossSite, evil}, false},
		{"a foreign method of WebDAV is refused", "PROPPATCH", "/x", []string{crossSite, evil}, false},
		{"a sandboxed frame is refused", "POST", "/x", []string{crossSite, "Origin: null"}, false},
		{"a sister host is another origin", "POST", "/x", []string{sameSite, "Origin: https://wiki.gw.test"}, false},
		{"another port is another origin", "POST", "/x", []string{sameSite, "Origin: https://gw.test:8443"}, false},
		{"Sec-Fetch-Site comes before an Origin that looks like ours", "POST", "/x", []string{crossSite, own}, false},
		{"a value that nobody knows is refused", "POST", "/x", []string{"Sec-Fetch-Site: same-planet", own}, false},
		{"two values are refused", "POST", "/x", []string{sameOrigin, crossSite, own}, false},
		{"a listed origin passes", "POST", "/x", []string{crossSite, portal}, true},
		{"a listed origin passes in an older browser", "POST", "/x", []string{portal}, true},
		{"a listed origin with a port passes", "POST", "/x", []string{sameSite, "Origin: https://ide.test:8443"}, true},
		{"a listed host on another port is refused", "POST", "/x", []string{crossSite, "Origin: https://portal.test:8443"}, false},
		{"a listed host over plain http is refused", "POST", "/x", []string{crossSite, "Origin: http://portal.test"}, false},
		{"a listed origin beside a foreign one is refused", "POST", "/x", []string{crossSite, portal, evil}, false},

		{"before Sec-Fetch-Site: the own Origin passes", "POST", "/x", []string{own}, true},
		{"before Sec-Fetch-Site: the own Origin with its default port passes", "POST", "/x", []string{"Origin: https://GW.test"}, true},
		{"before Sec-Fetch-Site: a foreign Origin is refused", "POST", "/x", []string{evil}, false},
		{"before Sec-Fetch-Site: a null Origin is refused", "POST", "/x", []string{"Origin: null"}, false},
		{"before Sec-Fetch-Site: an empty Origin is refused", "POST", "/x", []string{"Origin: "}, false},
		{"before Sec-Fetch-Site: plain http of the same host is another origin", "POST", "/x", []string{"Origin: http://gw.test"}, false},
		{"before Sec-Fetch-Site: Origin comes before the Referer", "POST", "/x", []string{evil, "Referer: https://gw.test/x"}, false},
		{"before Origin: a page of ours in the Referer passes", "POST", "/x", []string{"Referer: https://gw.test/page?q=1"}, true},
		{"before Origin: a page of ours with its default port passes", "POST", "/x", []string{"Referer: https://gw.test:443/page"}, true},
		{"before Origin: a foreign page in the Referer is refused", "POST", "/x", []string{"Referer: https://evil.test/https://gw.test/"}, false},
		{"before Origin: ours as the user of another host is refused", "POST", "/x", []string{"Referer: https://gw.test@evil.test/"}, false},
		{"before Origin: a Referer that is none is refused", "POST", "/x", []string{"Referer: about:blank"}, false},
		{"an old browser that says nothing and brings a cookie is refused", "POST", "/x", nil, false},

		{"a foreign link passes", "GET", "/x", []string{crossSite}, true},
		{"a foreign HEAD passes", "HEAD", "/x", []string{crossSite}, true},
		{"a foreign OPTIONS passes", "OPTIONS", "/x", []string{crossSite, evil}, true},
		{"a GET that asks to be a DELETE is refused", "GET", "/x", []string{sameOrigin, "X-HTTP-Method-Override: DELETE"}, false},
		{"a GET that asks so in another spelling is refused", "GET", "/x", []string{sameOrigin, "x_http_method: DELETE"}, false},
		{"a HEAD that asks so is refused", "HEAD", "/x", []string{sameOrigin, "X-Method-Override: POST"}, false},
		{"a POST of ours that asks to be a DELETE passes", "POST", "/x", []string{sameOrigin, "X-HTTP-Method-Override: DELETE"}, true},
		{"a foreign POST that asks to be a GET is refused", "POST", "/x", []string{crossSite, evil, "X-HTTP-Method-Override: GET"}, false},

		{"an excepted path takes foreign forms", "POST", "/hook", []string{crossSite, evil}, true},
		{"an excepted path is that path alone", "POST", "/hook/x", []string{crossSite, evil}, false},
		{"an excepted folder takes foreign forms", "POST", "/saml/acs", []string{crossSite, evil}, true},
		{"an excepted folder spelled with escapes is the same", "POST", "/%73aml/acs", []string{crossSite, evil}, true},
		{"an excepted folder is not another one beside it", "POST", "/samlx", []string{crossSite, evil}, false},
		{"an excepted star is one segment", "POST", "/api/7/callback", []string{crossSite, evil}, true},
		{"an excepted star is not two segments", "POST", "/api/7/8/callback", []string{crossSite, evil}, false},
		{"a path that only some readings except is refused", "POST", "/saml%2Facs", []string{crossSite, evil}, false},

		{"a public route is shielded too", "POST", "/public/x", []string{crossSite, evil}, false},
		{"a route that answers by itself is shielded too", "POST", "/own/x", []string{crossSite, evil}, false},
		{"a route without the shield takes all", "POST", "/bare/x", []string{crossSite, evil}, true},
		{"a client's token beside a cookie does not help", "POST", "/machine/x", []string{"Authorization: Bearer t", crossSite, evil}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expectShield(t, gw, up, request(tt.method, tt.path, append([]string{aliceCookie, "Accept: */*", "Content-Length: 0"}, tt.lines...)...), tt.passes)
		})
	}
	for _, tt := range []struct {
		name, path string
		lines      []string // all there is
		passes     bool
	}{
		{"a program's own token passes", "/machine/x", []string{"Authorization: Bearer t"}, true},
		{"a program's own token passes from a page that the app has to allow", "/machine/x", []string{"Authorization: Bearer t", crossSite, evil}, true},
		{"a token where the route takes none is refused from a foreign page", "/public/x", []string{"Authorization: Bearer t", crossSite, evil}, false},
		{"a program without anything passes", "/public/x", nil, true},
		{"a program with a token for the app passes", "/public/x", []string{"Authorization: Bearer t"}, true},
		{"a foreign page without credentials is refused all the same", "/public/x", []string{crossSite, evil}, false},
		{"Basic credentials, which browsers add by themselves, are refused where nothing says from where", "/public/x", []string{"Authorization: Basic YTpi"}, false},
		{"Basic credentials with the own Origin pass", "/public/x", []string{"Authorization: Basic YTpi", own}, true},
		{"any cookie counts, for the app may have one of its own", "/public/x", []string{"Cookie: app=1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expectShield(t, gw, up, request("POST", tt.path, append([]string{"Content-Length: 0"}, tt.lines...)...), tt.passes)
		})
	}
}

func expectShield(t *testing.T, gw *gateway, up *upstream, request string, passes bool) {
	t.Helper()
	before := len(up.requests())
	res := gw.send(t, request)
	if reached := len(up.requests()) > before; passes != reached || passes != (res.StatusCode == 200) || !passes && res.StatusCode != 403 {
		t.Errorf("got %d %s, and it reached the app: %t; want %t", res.StatusCode, res.body, reached, passes)
	}
}

// TestCSRFShieldAnswers: a person gets a page that leads to the app's own, a program a code,
// both before the body is there; the log says why.
func TestCSRFShieldAnswers(t *testing.T) {
	up := newUpstream(t, saysOK)
	gate := &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Name: "wiki", CSRF: &proxy.CSRF{},
		Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})}
	gw := newGateway(t, gate)
	foreign := []string{aliceCookie, "Sec-Fetch-Site: cross-site", "Origin: https://evil.test", "Content-Length: 1000000"}
	page := gw.send(t, request("POST", "/edit/me?to=evil", append(foreign, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")...))
	if page.StatusCode != 403 || !strings.Contains(page.body, "Another site sent this") || !strings.Contains(page.body, `href="/edit/me"`) || strings.Contains(page.body, "to=evil") {
		t.Errorf("got %d\n%s\nwant a page that links to /edit/me, without the stranger's query", page.StatusCode, page.body)
	}
	note := gw.note(t)
	if note.Decision != proxy.Refused || note.Route != "wiki" || !strings.Contains(fmt.Sprint(note.Err), `"https://evil.test"`) {
		t.Errorf("the access line has %s, %s, %v", note.Decision, note.Route, note.Err)
	}
	problem := gw.send(t, request("POST", "/edit/me", foreign...))
	if problem.StatusCode != 403 || problem.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(problem.body, `"code":"cross_site"`) {
		t.Errorf("got %d %s", problem.StatusCode, problem.body)
	}
	if len(up.requests()) != 0 {
		t.Errorf("the app got %q", up.requests())
	}

	// It is a decision like any other: pure, and told by Decide.
	r := httptest.NewRequest("POST", "https://gw.test/edit", nil)
	r.RequestURI = "/edit"
	r.Header.Set("Sec-Fetch-Site", "same-site")
	d := gate.Decide(r)
	if e, ok := d.Err.(*web.Error); d.Outcome != proxy.Refused || !ok || e.Code != "cross_site" || d.Route == nil {
		t.Errorf("got %+v", d)
	}
}

// TestCSRFShieldAndWebSockets: their own check stays what it is.
func TestCSRFShieldAndWebSockets(t *testing.T) {
	gate := &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{CSRF: &proxy.CSRF{}, Origins: []string{"https://dash.test"}})}
	for origin, want := range map[string]string{"https://gw.test": proxy.Allowed, "https://dash.test": proxy.Allowed, "https://evil.test": proxy.Refused} {
		r := httptest.NewRequest("GET", "https://gw.test/ws", nil)
		r.RequestURI = "/ws"
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": origin, "Sec-Fetch-Site": "cross-site", "Cookie": sid + "=alice"} {
			r.Header.Set(name, value)
		}
		if d := gate.Decide(r); d.Outcome != want {
			t.Errorf("%s: got %s, %v, want %s", origin, d.Outcome, d.Err, want)
		}
	}
}

// TestCSRFFaults: what could never match is refused.
func TestCSRFFaults(t *testing.T) {
	_, err := proxy.NewRouter([]*proxy.Route{{Answer: &proxy.Respond{}, CSRF: &proxy.CSRF{Except: []string{"hook", "/a/../b"}, Origins: []string{"portal.test"}}}})
	for _, want := range []string{`routes[0].csrf.except[0]: "hook" does not start with a slash`, `routes[0].csrf.except[1]: "/a/../b" cannot be matched`,
		`routes[0].csrf.origins[0]: "portal.test" is no origin`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
