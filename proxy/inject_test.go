package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// carol has claims of every kind; s may be nil.
func carol(s auth.Session) authFunc {
	return func(*http.Request) (*auth.Login, error) {
		return &auth.Login{Session: s, Identity: auth.Identity{User: "corp/carol", Email: "carol@example.com",
			Groups: []string{"staff", "a,b", "büro"},
			Claims: map[string]any{
				"org": map[string]any{"department": "R&D, east", "id": float64(12345678)}, "https://example.com/roles": []any{"x", "y,z", float64(2), true},
				"admin": true, "evil": "a\r\nX-Auth-User: root", "list": []any{"a", "b\x00"}, "deep": map[string]any{"x": "y"},
				"nested": []any{[]any{"x"}}, "empty": "", "none": nil, "padded": " root ", "long": strings.Repeat("x", 9<<10), "bad": "\xff",
				"separator": "a\u2028b", "city": "Köln, 50%",
			}}}, nil
	}
}

func TestValuesOfHeaders(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for _, tt := range []struct{ value, want string }{ // want "" is no such header
		{"plain text", "plain text"},
		{"{user}", "corp/carol"},
		{"{email}", "carol@example.com"},
		{"{groups}", "staff,a%2Cb,büro"},
		{"{session.id}", "s-1"},
		{"{request.id}", "REQUEST-ID"},
		{"{route.name}", "the route"},
		{"{user} <{email}>", "corp/carol <carol@example.com>"},
		{"{{{user}}} {{}}", "{corp/carol} {}"},
		{"{claims.org.department}", "R&D, east"},
		{"{claims.org.id}", "12345678"},
		{"{claims.admin}", "true"},
		{"{claims.https://example.com/roles}", "x,y%2Cz,2,true"},
		{"{claims.city}", "Köln, 50%"},
		{"a value in a list escapes the separator: x,{claims.city}", "a value in a list escapes the separator: x,Köln%2C 50%25"},
		{"a list in a list does not do it twice: x,{groups}", "a list in a list does not do it twice: x,staff,a%2Cb,büro"},
		{"{claims.nobody}", ""},
		{"half of it: {claims.nobody}", ""},
		{"{claims.empty}", ""},
		{"{claims.none}", ""},
		{"{claims.org}", ""},
		{"{claims.nested}", ""},
		{"{claims.evil}", ""},
		{"x{claims.evil}", ""},
		{"{claims.list}", ""},
		{"{claims.padded}", ""},
		{"{claims.long}", ""},
		{"{claims.bad}", ""},
		{"{claims.separator}", ""},
	} {
		gw := newGateway(t, &proxy.Gate{Auth: carol(newSession()), Router: newRouter(t, &proxy.Route{Name: "the route", Upstream: way,
			RequestHeaders: proxy.Headers{Set: map[string]string{"x-VALUE": tt.value}},
			AnswerHeaders:  proxy.Headers{Set: map[string]string{"x-VALUE": tt.value}}})})
		res := gw.send(t, get("/", "X-Value: evil", "x_value: evil", "X.VALUE: evil"))
		var want []string
		if tt.want != "" {
			want = []string{tt.want}
		}
		raw := up.last(t)
		if got := header(raw, "X-Value"); !slices.Equal(got, want) || strings.Contains(raw, "evil") || strings.Contains(raw, "root") {
			t.Errorf("%s: got %q in\n%s\nwant %q", tt.value, got, raw, want)
		}
		if got := res.Header["X-Value"]; !slices.Equal(got, want) {
			t.Errorf("%s: the browser got %q, want %q", tt.value, got, want)
		}
	}
}

// TestLeftOutHeadersAreToldOnce: by name and without the value.
func TestLeftOutHeadersAreToldOnce(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: carol(nil), Router: newRouter(t, &proxy.Route{Name: "r", Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr}),
		RequestHeaders: proxy.Headers{Set: map[string]string{"X-Evil": "{claims.evil}", "X-None": "{claims.nobody}"}}})})
	for range 3 {
		gw.send(t, get("/"))
	}
	log := gw.log.String()
	if n := strings.Count(log, "header=X-Evil"); n != 1 || strings.Contains(log, "root") || strings.Contains(log, "X-None") {
		t.Errorf("got %d lines in\n%s\nwant 1, without the value", n, log)
	}
}

func TestSetAddAndRemove(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 200 OK\nContent-Length: 2\nServer: old\nX-Powered-By: php\nX-Frame-Options: ALLOW\nVary: Cookie\nX-None: app\n"+
		"Set-Cookie: a=b\nCache-Control: max-age=5\n\nok"))
	s := newSession()
	s.due = fresh
	gw := newGateway(t, &proxy.Gate{Auth: carol(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr}),
		RequestHeaders: proxy.Headers{Set: map[string]string{"User-Agent": "gateway", "X-Webauth-User": "{user}"},
			Add: map[string]string{"Accept-Language": "de", "X-Role": "{claims.city}"}, Remove: []string{"x-debug", "Referer"}},
		AnswerHeaders: proxy.Headers{Set: map[string]string{"X-Frame-Options": "DENY", "X-None": "{claims.nobody}", "Cache-Control": "public"},
			Add: map[string]string{"Vary": "Accept"}, Remove: []string{"server", "X-Powered-By"}}})})
	res := gw.send(t, get("/", "User-Agent: browser", "USER_AGENT: evil", "Accept-Language: en", "X-Role: evil", "X_Role: evil", "X-Debug: evil", "X_debug: evil",
		"Referer: evil", "X-WebAuth_User: evil"))
	raw := up.last(t)
	for name, want := range map[string][]string{"User-Agent": {"gateway"}, "X-Webauth-User": {"corp/carol"}, "Accept-Language": {"en", "de"},
		"X-Role": {"Köln%2C 50%25"}, "X-Debug": nil, "Referer": nil} {
		if got := header(raw, name); !slices.Equal(got, want) {
			t.Errorf("%s: the app got %q, want %q", name, got, want)
		}
	}
	if strings.Contains(raw, "evil") {
		t.Errorf("the app got\n%s", raw)
	}
	for name, want := range map[string][]string{"Server": nil, "X-Powered-By": nil, "X-Frame-Options": {"DENY"}, "Vary": {"Cookie", "Accept"}, "X-None": nil,
		"Set-Cookie": {"a=b", fresh}, "Cache-Control": {"private, no-store"}} {
		if got := res.Header[name]; !slices.Equal(got, want) {
			t.Errorf("%s: the browser got %q, want %q", name, got, want)
		}
	}
}

// TestInjectedNamesAreTheGatewaysEverywhere: an app behind two routes believes a
// header on both, so no client is heard under it on either, nor in trailers.
func TestInjectedNamesAreTheGatewaysEverywhere(t *testing.T) { // CVE-2026-54763
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Path: "/a/", Upstream: way, RequestHeaders: proxy.Headers{Set: map[string]string{"X-Team": "{groups}", "Accept": "x/y"}, Add: map[string]string{"Tenant": "{user}"}}},
		&proxy.Route{Path: "/open/", Policy: auth.Policy{Public: true}, PassPreflight: true, Upstream: way},
		&proxy.Route{Path: "/lets/", Policy: auth.Policy{Public: true}, PassHeaders: []string{"X-Team"}, Upstream: way})})
	var lines []string
	for _, name := range []string{"X-Team", "Tenant"} {
		for _, spelling := range spellings(name) {
			lines = append(lines, spelling+": evil")
		}
	}
	for _, req := range []string{request("GET", "/open/", append(lines, "Accept: text/html")...), get("/open/", append(lines, "Accept: text/html")...), get("/a/", lines...),
		request("OPTIONS", "/open/", append(lines, "Origin: https://o.test", "Access-Control-Request-Method: PUT", "Accept: text/html")...)} {
		before := len(up.requests())
		gw.send(t, req)
		raw := up.last(t)
		if len(up.requests()) != before+1 || strings.Contains(raw, "evil") {
			t.Errorf("the app got\n%s", raw)
		}
		if strings.Contains(req, "/open/") && !slices.Equal(header(raw, "Accept"), []string{"text/html"}) {
			t.Errorf("what browsers send is set on its own route alone; the app got\n%s", raw)
		}
	}
	gw.send(t, request("GET", "/lets/", "X-Team: mine", "X_Team: evil"))
	if raw := up.last(t); !slices.Equal(header(raw, "X-Team"), []string{"mine"}) || strings.Contains(raw, "evil") {
		t.Errorf("pass_headers lets exactly that spelling through; the app got\n%s", raw)
	}
	trailers := make(chan http.Header, 1)
	app := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer
	})
	gw = newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: app.url()}),
		RequestHeaders: proxy.Headers{Set: map[string]string{"X-Team": "x"}}})})
	gw.send(t, get("/", "TE: trailers", "Transfer-Encoding: chunked", "Trailer: X-Team, X_Team, X-Sum")+"0\nX-Team: evil\nX_Team: evil\nX-Sum: 1\n\n")
	if got := <-trailers; len(got) != 1 || got.Get("X-Sum") != "1" {
		t.Errorf("got trailers %v, want X-Sum alone", got)
	}
}

func TestHeadersWithNobodySignedIn(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Policy: auth.Policy{Public: true}, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr}),
		RequestHeaders: proxy.Headers{Set: map[string]string{"X-A": "{user}", "X-B": "{session.id}", "X-C": "{claims.x}", "X-D": "x"}}})})
	for name, want := range map[string]string{request("GET", "/"): "X-D", get("/"): "X-A X-D"} {
		gw.send(t, name)
		var got []string
		for _, n := range []string{"X-A", "X-B", "X-C", "X-D"} {
			if header(up.last(t), n) != nil {
				got = append(got, n)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	request := []string{"Authorization", "x_forwarded_user", "X-Forwarded-For", "X-Forwarded", "Forwarded", "COOKIE", "Host", "Connection", "Keep-Alive", "TE", "Trailer",
		"Transfer-Encoding", "Content-Length", "Content-Encoding", "Upgrade", "Proxy-Authorization", "Proxy-Connection", "Proxy", "Expect", "X-Request-Id", "Sec-WebSocket-Key",
		"Secure-Session-Response", "Set-Cookie", "", "X Y", "X:Y", "Ä", strings.Repeat("x", 65)}
	answer := []string{"Set-Cookie", "set_cookie", "Clear-Site-Data", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Connection", "Trailer", "Upgrade",
		"X-Request-Id", "Secure-Session-Registration", "Sec-WebSocket-Accept"}
	for key, names := range map[string][]string{"request_headers": request, "response_headers": answer} {
		for _, name := range names {
			for _, h := range []proxy.Headers{{Set: map[string]string{name: "x"}}, {Add: map[string]string{name: "x"}}, {Remove: []string{name}}} {
				r := &proxy.Route{RequestHeaders: h}
				if key == "response_headers" {
					r = &proxy.Route{AnswerHeaders: h}
				}
				if _, err := proxy.NewRouter([]*proxy.Route{r}); err == nil || !strings.HasPrefix(err.Error(), "routes[0]."+key+": ") {
					t.Errorf("%s %+v: got %v, want a fault", key, h, err)
				}
			}
		}
	}
	for _, h := range []proxy.Headers{{Set: map[string]string{"X-A": "x", "x_a": "y"}}, {Set: map[string]string{"X-A": "x"}, Remove: []string{"X.A"}},
		{Set: map[string]string{"X-A": "{who}"}}, {Add: map[string]string{"X-A": "{user"}}, {Set: map[string]string{"X-A": "user}"}}, {Set: map[string]string{"X-A": "a\nb"}},
		{Set: map[string]string{"X-A": " a"}}, {Set: map[string]string{"X-A": "{claims.}"}}, {Set: map[string]string{"X-A": ""}}} {
		if _, err := proxy.NewRouter([]*proxy.Route{{RequestHeaders: h}}); err == nil {
			t.Errorf("%+v: got no fault", h)
		}
	}
	if _, err := proxy.NewRouter([]*proxy.Route{{RequestHeaders: proxy.Headers{Remove: []string{"X-A"}}, PassHeaders: []string{"x_a"}}}); err == nil {
		t.Error("a header that is both let through and removed: got no fault")
	}
}

// TestPagesOfTheGatewayHaveNoHeadersOfTheRoute: they are about the app's answers.
func TestPagesOfTheGatewayHaveNoHeadersOfTheRoute(t *testing.T) {
	gone := newApp(t, nil)
	gone.kill()
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: gone.url()}),
		AnswerHeaders: proxy.Headers{Set: map[string]string{"X-Kind": "app"}}})})
	for _, req := range []string{get("/"), request("GET", "/"), get("/a//b")} {
		if res := gw.send(t, req); res.StatusCode < 400 || res.Header["X-Kind"] != nil {
			t.Errorf("got %d with X-Kind %q, want none on a page of the gateway", res.StatusCode, res.Header["X-Kind"])
		}
	}
}

// TestHeadersOfWebSockets: those of the request are set, and the answer is the handshake's.
func TestHeadersOfWebSockets(t *testing.T) {
	asked := make(chan string, 1)
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- fmt.Sprint(r.Header["X-Team"])
		echo(w, r)
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: a.url()}),
		RequestHeaders: proxy.Headers{Set: map[string]string{"X-Team": "{groups}"}}, AnswerHeaders: proxy.Headers{Set: map[string]string{"X-Team": "x"}}})})
	res := gw.send(t, get("/", "Connection: Upgrade", "Upgrade: websocket", "X-Team: evil", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header["X-Team"] != nil {
		t.Errorf("got %d, %q, want 101 and none", res.StatusCode, res.Header["X-Team"])
	}
	if got := <-asked; got != "[staff,dev]" {
		t.Errorf("got %s, want [staff,dev]", got)
	}
}
