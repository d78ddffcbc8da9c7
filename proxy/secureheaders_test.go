package proxy_test

import (
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secureheaders"
	"github.com/evergate/evergate/proxy"
)

// secured are the headers of an answer that any level knows, name and value.
func secured(h http.Header) map[string]string {
	got := map[string]string{}
	for _, name := range secureheaders.Names("strict") {
		if lines := h.Values(name); lines != nil {
			got[name] = strings.Join(lines, " | ")
		}
	}
	return got
}

var (
	basic = map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin-when-cross-origin", "X-Frame-Options": "SAMEORIGIN"}

	strict = map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "SAMEORIGIN",
		"Content-Security-Policy":    "default-src 'self'; img-src 'self' data:; base-uri 'self'; object-src 'none'; frame-ancestors 'self'",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":                "bluetooth=(), camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), serial=(), usb=()",
		"X-Permitted-Cross-Domain-Policies": "none", "Strict-Transport-Security": "max-age=31536000"}
)

// changed is a map with some values changed; "" takes one out.
func changed(of map[string]string, changes ...string) map[string]string {
	out := maps.Clone(of)
	for i := 0; i < len(changes); i += 2 {
		if out[changes[i]] = changes[i+1]; changes[i+1] == "" {
			delete(out, changes[i])
		}
	}
	return out
}

// TestSecureHeaders: what a browser gets is what the app says, and from the level what it
// does not say.
func TestSecureHeaders(t *testing.T) {
	const csp, xfo = "Content-Security-Policy", "X-Frame-Options"
	unframed := strings.TrimSuffix(strict[csp], "; frame-ancestors 'self'")
	for _, tt := range []struct {
		name   string
		level  *proxy.SecureHeaders
		answer string // of the app: status line and header
		want   map[string]string
	}{
		{"no level adds nothing", nil, "200 OK\nX-Frame-Options: DENY", map[string]string{xfo: "DENY"}},
		{"basic", &proxy.SecureHeaders{Level: "basic"}, "200 OK", basic},
		{"strict", &proxy.SecureHeaders{Level: "strict"}, "200 OK", strict},
		{"an error of the app is an answer", &proxy.SecureHeaders{Level: "strict"}, "404 Not Found", strict},
		{"the app's own stay", &proxy.SecureHeaders{Level: "basic"}, "200 OK\nX-Frame-Options: DENY\nReferrer-Policy: no-referrer",
			changed(basic, xfo, "DENY", "Referrer-Policy", "no-referrer")},
		{"the app's policy stays as it is, and ours is not beside it", &proxy.SecureHeaders{Level: "strict"}, "200 OK\nContent-Security-Policy: default-src *",
			changed(strict, csp, "default-src *")},
		{"both of the app's policies stay", &proxy.SecureHeaders{Level: "strict"}, "200 OK\nContent-Security-Policy: default-src *\ncontent-security-policy: img-src 'none'",
			changed(strict, csp, "default-src * | img-src 'none'")},
		{"a policy that only reports guards nothing", &proxy.SecureHeaders{Level: "strict"}, "200 OK\nContent-Security-Policy-Report-Only: default-src *", strict},
		{"the app's word about frames is not undone by ours, which browsers would prefer", &proxy.SecureHeaders{Level: "strict"}, "200 OK\nX-Frame-Options: DENY",
			changed(strict, xfo, "DENY", csp, unframed)},
		{"overwrite replaces what the app says", &proxy.SecureHeaders{Level: "strict", Overwrite: true}, "200 OK\nX-Frame-Options: DENY\nContent-Security-Policy: default-src *\nStrict-Transport-Security: max-age=0", strict},
		{"except leaves one to the app", &proxy.SecureHeaders{Level: "strict", Overwrite: true, Except: []string{"x-frame-options", csp}}, "200 OK\nContent-Security-Policy: default-src *",
			changed(strict, xfo, "", csp, "default-src *")},
		{"set says it in other words", &proxy.SecureHeaders{Level: "basic", Set: map[string]string{"x-frame-options": "DENY"}}, "200 OK", changed(basic, xfo, "DENY")},
		{"a policy of the operator's own bows to the app's word about frames too", &proxy.SecureHeaders{Level: "strict", Set: map[string]string{csp: "frame-ancestors https://a.test"}},
			"200 OK\nX-Frame-Options: DENY", changed(strict, xfo, "DENY", csp, "")},
		{"304: the browser keeps what came with the page", &proxy.SecureHeaders{Level: "strict"}, "304 Not Modified", map[string]string{}},
		{"304: what is overwritten is overwritten here too", &proxy.SecureHeaders{Level: "strict", Overwrite: true}, "304 Not Modified\nContent-Security-Policy: default-src *", strict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := "\nContent-Length: 0\n\n"
			if strings.HasPrefix(tt.answer, "304") {
				body = "\n\n"
			}
			up := newUpstream(t, says("HTTP/1.1 "+tt.answer+body))
			gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
				&proxy.Route{SecureHeaders: tt.level, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
			if got := secured(gw.send(t, get("/")).Header); !maps.Equal(got, tt.want) {
				t.Errorf("got\n%v\nwant\n%v", got, tt.want)
			}
		})
	}
}

// TestSecureHeadersElsewhere: routes that answer by themselves have them, what the route
// says of single headers comes after, a WebSocket has none, and the gateway's own pages
// keep theirs.
func TestSecureHeadersElsewhere(t *testing.T) {
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		if r.URL.Path == "/ws" {
			says("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\n\n")(conn, r)
			return
		}
		saysOK(conn, r)
	})
	level := func() *proxy.SecureHeaders { return &proxy.SecureHeaders{Level: "strict"} }
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	down := newWay(t, proxy.UpstreamOptions{Target: "127.0.0.1:1"})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Path: "/respond", SecureHeaders: level(), Answer: &proxy.Respond{Body: "x"}},
		&proxy.Route{Path: "/redirect", SecureHeaders: level(), Answer: &proxy.Redirect{To: "https://new.test/"}},
		&proxy.Route{Path: "/static/", SecureHeaders: level(), Rewrite: proxy.Rewrite{StripPrefix: "/static"}, Answer: &proxy.Static{Dir: dir, Index: "index.html"}},
		&proxy.Route{Path: "/ws", SecureHeaders: level(), Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})},
		&proxy.Route{Path: "/down", SecureHeaders: level(), Upstream: down},
		&proxy.Route{Path: "/last-word", SecureHeaders: level(), Policy: auth.Policy{Public: true}, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr}),
			AnswerHeaders: proxy.Headers{Set: map[string]string{"Referrer-Policy": "origin"}, Remove: []string{"X-Frame-Options"}}},
	)})
	for _, path := range []string{"/respond", "/redirect", "/static/a.txt"} {
		if got := secured(gw.send(t, get(path)).Header); !maps.Equal(got, strict) {
			t.Errorf("%s: got\n%v\nwant\n%v", path, got, strict)
		}
	}
	res := gw.send(t, get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Origin: https://gw.test"))
	if got := secured(res.Header); res.StatusCode != 101 || len(got) != 0 {
		t.Errorf("a WebSocket: got %d %v", res.StatusCode, got)
	}
	if got, want := secured(gw.send(t, get("/last-word")).Header), changed(strict, "Referrer-Policy", "origin", "X-Frame-Options", ""); !maps.Equal(got, want) {
		t.Errorf("got\n%v\nwant what response_headers says\n%v", got, want)
	}
	page := gw.send(t, get("/down", "Accept: text/html"))
	if csp := page.Header.Values("Content-Security-Policy"); page.StatusCode != 502 || len(csp) != 1 || !strings.Contains(csp[0], "default-src 'none'") {
		t.Errorf("the gateway's own page: got %d %q", page.StatusCode, csp)
	}
}

// TestSecureHeadersOverPlainHTTP: browsers must not listen to HSTS there, so nothing is said.
func TestSecureHeadersOverPlainHTTP(t *testing.T) {
	l := newLimited(t, &proxy.Route{SecureHeaders: &proxy.SecureHeaders{Level: "strict"}, Policy: auth.Policy{Public: true}})
	if h := l.ask("/", "", "192.0.2.1").Header(); h.Get("Strict-Transport-Security") == "" {
		t.Error("https: got no Strict-Transport-Security")
	}
	if h := l.askPlainly("/").Header(); h.Get("Strict-Transport-Security") != "" || h.Get("X-Frame-Options") == "" {
		t.Errorf("http: got %v", h)
	}
}

// TestSecureHeadersFaults: what names nothing is refused.
func TestSecureHeadersFaults(t *testing.T) {
	for _, tt := range []struct {
		level *proxy.SecureHeaders
		want  string
	}{
		{&proxy.SecureHeaders{Level: "srtict"}, `routes[0].secure_headers.level: want basic or strict, got "srtict"`},
		{&proxy.SecureHeaders{Level: "basic", Except: []string{"Permissions-Policy"}}, "routes[0].secure_headers.except[0]: basic has no header Permissions-Policy"},
		{&proxy.SecureHeaders{Level: "basic", Set: map[string]string{"X-Foo": "1"}}, "routes[0].secure_headers.set: basic has no header X-Foo"},
		{&proxy.SecureHeaders{Level: "basic", Set: map[string]string{"X-Frame-Options": "a\nb"}}, "cannot be a header"},
	} {
		if _, err := proxy.NewRouter([]*proxy.Route{{SecureHeaders: tt.level, Answer: &proxy.Respond{}}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// TestSecureHeadersLevels: strict has all that basic has, and each name is written as
// headers are.
func TestSecureHeadersLevels(t *testing.T) {
	names := secureheaders.Names("strict")
	for _, name := range secureheaders.Names("basic") {
		if !slices.Contains(names, name) {
			t.Errorf("strict lacks %s", name)
		}
	}
	for _, name := range names {
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is not canonical", name)
		}
	}
}
