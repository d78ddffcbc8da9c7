package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/proxy"
)

// frontUpgrade asks for another protocol over TLS and HTTP/1.1, and returns the status.
func frontUpgrade(t *testing.T, listen, host, protocol, cookie, origin string) int {
	t.Helper()
	c, err := tls.Dial("tcp", listen, &tls.Config{InsecureSkipVerify: true, ServerName: strings.Split(host, ":")[0], NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return upgradeOn(t, c, host, protocol, cookie, origin)
}

func upgradeOn(t *testing.T, c net.Conn, host, protocol, cookie, origin string) int {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: %s\r\nCookie: %s\r\n\r\n",
		host, protocol, origin, cookie)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("upgrade to %s: %v", protocol, err)
	}
	res.Body.Close()
	return res.StatusCode
}

// evil is in every value that an attacker writes.
const evil = "mallory"

// frontSpoofing sends what clients must not say through a front proxy, as raw bytes. No
// app may see any of it as the proxy's or the gateway's word, and none may be asked for
// what nobody decided on.
func frontSpoofing(t *testing.T, front frontProxy) {
	t.Parallel()
	app, other, port := newFrontApp(t), newFrontApp(t), freePort(t)
	public := "http://apps.localhost:" + port
	s := newFrontSetup(t, front, public, port, fmt.Sprintf(`identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { host: "*.wild.localhost" }, allow: [ groups: [nobody] ], upstream: %[2]q }
  - { match: { host: "*.deep.wild.localhost" }, public: true, upstream: %[1]q }
  - { match: { host: open.wild.localhost }, public: true, upstream: %[1]q }
  - { match: { path: /public/ }, public: true, upstream: %[1]q }
  - { match: { path: /odd/ }, public: true, path_chars: [encoded_slash, double_slash, semicolon], upstream: %[1]q }
  - { match: { path: /admin/ }, allow: [ groups: [nobody] ], upstream: %[2]q }
  - { match: { path: "/team/*/secret" }, allow: [ groups: [nobody] ], upstream: %[2]q }
  - { match: { host: wiki.localhost }, allow: [ groups: [nobody] ], upstream: %[2]q }
  - upstream: %[1]q
`, app.URL, other.URL), map[string]string{"users.yaml": "users: {}\n"}, nil)
	// A browser without a screen, at a host that only browsers know.
	who := newPerson(t)
	who.c.Transport = frontClient(t, s.listen).Transport
	if at := who.signIn(public+"/", map[string]string{"username": "alice", "password": "correct horse battery"}); at.status != http.StatusOK || !strings.Contains(at.body, ">alice<") {
		t.Fatalf("signed in: got %d at %s: %.500s", at.status, at.url, at.body)
	}
	u, err := url.Parse(public)
	if err != nil {
		t.Fatal(err)
	}
	var session string
	for _, c := range who.c.Jar.Cookies(u) {
		if c.Name == "evergate-"+port {
			session = c.Name + "=" + c.Value
		}
	}
	if session == "" {
		t.Fatal("there is no session cookie")
	}
	app.taken()

	names, families := proxy.ProtectedHeaders()
	protected := func(name string) bool {
		folded := inject.Fold(name)
		for _, n := range names {
			if folded == n {
				return true
			}
		}
		for _, f := range families {
			if strings.HasPrefix(folded, f) {
				return true
			}
		}
		return false
	}
	host := "apps.localhost:" + port
	// ask sends a request with Host first and looks at what the apps saw.
	ask := func(what, line string, headers ...string) (status int, seen []seenRequest) {
		t.Helper()
		c, err := net.Dial("tcp", s.listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, line+" HTTP/1.1\r\n"+strings.Join(headers, "\r\n")+"\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			status = -1 // it hung up
		} else {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			status = res.StatusCode
		}
		if seen := other.taken(); len(seen) > 0 {
			t.Errorf("%s: what nobody may see was asked for: %+v", what, seen)
		}
		seen = app.taken()
		for _, r := range seen {
			user := r.header.Get("X-Forwarded-User")
			if user != "" && user != "alice" || len(r.header.Values("X-Forwarded-User")) > 1 || len(r.header.Values("Authorization")) > 1 {
				t.Errorf("%s: the app is told of %q", what, r.header)
			}
			for name, values := range r.header {
				for _, v := range values {
					if strings.Contains(v, evil) && protected(name) {
						t.Errorf("%s: the app gets %s: %s", what, name, v)
					}
					if strings.Contains(strings.ToLower(v), "evergate-"+port) || strings.Contains(strings.ToLower(v), "evergate-admin") {
						t.Errorf("%s: the app gets the gateway's cookie in %s: %.60s", what, name, v)
					}
				}
			}
			for name, values := range r.header {
				switch name {
				case "Te": // "trailers" is all that one hop may say to the next by it
					if len(values) != 1 || values[0] != "trailers" {
						t.Errorf("%s: the app gets TE: %q", what, values)
					}
				case "Trailer", "Http2-Settings", "Proxy-Authorization":
					t.Errorf("%s: the app gets %s: %q", what, name, values)
				case "Upgrade":
					if len(values) != 1 || !strings.EqualFold(values[0], "websocket") {
						t.Errorf("%s: the app is asked to change to %q", what, values)
					}
				case "Connection":
					for _, v := range values {
						if !strings.EqualFold(v, "close") && !strings.EqualFold(v, "upgrade") && !strings.EqualFold(v, "keep-alive") {
							t.Errorf("%s: the app gets Connection: %s", what, v)
						}
					}
				}
			}
			if got := r.header.Get("X-Forwarded-For"); got != "127.0.0.1" {
				t.Errorf("%s: X-Forwarded-For is %q", what, got)
			}
			if r.host != host || r.header.Get("X-Forwarded-Host") != host || r.header.Get("X-Forwarded-Proto") != "http" {
				t.Errorf("%s: the app is asked for host %q, X-Forwarded-Host %q, X-Forwarded-Proto %q", what, r.host, r.header.Get("X-Forwarded-Host"), r.header.Get("X-Forwarded-Proto"))
			}
			asked, _, _ := strings.Cut(r.uri, "?")
			decoded, err := url.PathUnescape(asked)
			if !strings.HasPrefix(asked, "/") || err != nil || strings.HasPrefix(path.Clean(decoded), "/admin") || strings.HasPrefix(r.uri, "//") {
				t.Errorf("%s: the app is asked for %q", what, r.uri)
			}
		}
		return status, seen
	}
	hostLine := "Host: " + host

	// Every name, in every spelling, with and without a session; once and twice.
	spellings := func(name string) []string {
		return []string{name, strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.Replace(name, "-", "_", 1)}
	}
	all := append([]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-User", "X-Forwarded-Email",
		"X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Original-Url", "X-Original-Uri", "X-Original-Method", "X-Original-Host",
		"Remote-User", "Remote-Groups", "X-Remote-User", "X-Auth-Request-User", "X-Auth-Request-Email", "X-WebAuth-User", "X-SSL-Client-Cert",
		"Sec-Secure-Session-Id", "Secure-Session-Response", "Secure-Session-Skipped"}, names...)
	for i, name := range all {
		if name == "authorization" || name == "http2-settings" {
			continue
		}
		value := map[string]string{"X-Forwarded-Uri": "/public/" + evil, "X-Original-Url": public + "/public/" + evil, "X-Original-Uri": "/public/" + evil,
			"X-Forwarded-For": "10.6.6.6, " + evil, "X-Forwarded-Proto": "https" + evil, "X-Forwarded-Method": "OPTIONS" + evil}[name]
		if value == "" {
			value = evil
		}
		var lines []string
		for _, spelled := range spellings(name) {
			lines = append(lines, spelled+": "+value)
		}
		if i%2 == 0 {
			lines = append(lines, lines[0]) // twice
		}
		for _, cookie := range []string{"Cookie: a=1", "Cookie: " + session} {
			status, seen := ask(name, "GET /public/x", append([]string{hostLine, cookie}, lines...)...)
			if status == http.StatusOK && len(seen) != 1 {
				t.Errorf("%s: got %d, and the app saw %d requests", name, status, len(seen))
			}
			// What is denied stays so, whatever else is said about it.
			if status, _ := ask(name+" at what is denied", "GET /admin/x", append([]string{hostLine, cookie}, lines...)...); status == http.StatusOK {
				t.Errorf("%s: what is denied was answered 200", name)
			}
			if status == http.StatusOK && strings.Contains(cookie, session) != (seen[0].header.Get("X-Forwarded-User") == "alice") {
				t.Errorf("%s with %.10s: the app was told of %q", name, cookie, seen[0].header.Get("X-Forwarded-User"))
			}
		}
	}

	// One plain request, so that the ones above are known to have been something else.
	if status, seen := ask("a plain request", "GET /public/x", hostLine, "Cookie: "+session); status != http.StatusOK || len(seen) != 1 || seen[0].header.Get("X-Forwarded-User") != "alice" {
		t.Fatalf("a plain request: got %d, and the app saw %+v", status, seen)
	}
	pass := []string{hostLine, "Cookie: " + session}
	// A browser that has as many of the gateway's cookies as one may have keeps its others.
	if _, seen := ask("eight of the gateway's cookies", "GET /public/x", hostLine, "Cookie: a=1; "+session+"; "+strings.Repeat("evergate-"+port+"-flow-x=1; ", 7)+"b=2"); len(seen) != 1 || seen[0].header.Get("Cookie") != "a=1; b=2" {
		t.Errorf("eight of the gateway's cookies: the app saw %+v, want the two others", seen)
	}
	// The most specific host counts, whatever the order in the file.
	for host, want := range map[string]int{"open.wild.localhost": 1, "x.deep.wild.localhost": 1, "x.wild.localhost": 0} {
		c, err := net.Dial("tcp", s.listen)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET /page HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n", host, port)
		_, _ = io.Copy(io.Discard, c)
		c.Close()
		if seen, wrong := app.taken(), other.taken(); len(seen) != want || len(wrong) > 0 {
			t.Errorf("%s: its app saw %d requests, want %d, and another one %d", host, len(seen), want, len(wrong))
		}
	}
	// An app sends the proxy nowhere, and signs nobody out of the gateway.
	for _, at := range []string{"/admin/x", "/.evergate/auth", "/page"} {
		c, err := net.Dial("tcp", s.listen)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET /public/says?%s HTTP/1.1\r\n%s\r\nConnection: close\r\n\r\n", at, strings.Join(pass, "\r\n"))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		c.Close()
		if seen, wrong := app.taken(), other.taken(); len(seen) != 1 || len(wrong) > 0 || !strings.HasPrefix(string(body), "said") {
			t.Errorf("an app that names %s: %d and %d requests, and the browser got %.100q", at, len(seen), len(wrong), body)
		}
		if res.Header.Get("Authorization") != "" || res.Header.Get("X-Forwarded-User") != "" || res.Header.Get("Clear-Site-Data") != "" {
			t.Errorf("an app that names %s: the browser got %v", at, res.Header)
		}
		if d := front.dialect(); d == "haproxy" || d == "caddy" {
			for _, c := range res.Cookies() {
				if strings.HasPrefix(c.Name, "evergate-") {
					t.Errorf("the app set %s", c.Name)
				}
			}
		}
	}
	for _, c := range []struct {
		what, line string
		headers    []string
	}{
		{"Connection names the proxy's own headers", "GET /public/x", []string{hostLine, "Connection: X-Forwarded-Uri, X-Forwarded-Method, X-Original-Url, X-Forwarded-For, X-Forwarded-User, Authorization, Cookie, close"}},
		{"the same at what is denied", "GET /admin/x", append(pass, "Connection: x-forwarded-uri, x-original-url, x-forwarded-for, x-forwarded-user, authorization")},
		{"a token of one's own on a public route", "GET /public/x", []string{hostLine, "Authorization: Bearer " + evil}},
		{"two tokens of one's own", "GET /public/x", []string{hostLine, "Authorization: Bearer " + evil, "Authorization: Basic " + evil}},
		{"Basic beside a session", "GET /page", append(pass, "Authorization: Basic "+evil)},
		{"absolute form, another host", "GET http://wiki.localhost:" + port + "/public/x", pass},
		{"absolute form, the denied path", "GET http://apps.localhost:" + port + "/admin/x", pass},
		{"absolute form, a host nobody knows", "GET http://" + evil + ".example/public/x", pass},
		{"absolute form at one host, Host another", "GET " + public + "/public/x", []string{"Host: wiki.localhost:" + port, "Cookie: " + session}},
		{"two hosts", "GET /public/x", []string{hostLine, "Host: wiki.localhost:" + port, "Cookie: " + session}},
		{"another host", "GET /public/x", []string{"Host: wiki.localhost:" + port, "Cookie: " + session}},
		{"another host in capitals, with a dot", "GET /page", []string{"Host: WIKI.localhost.:" + port, "Cookie: " + session}},
		{"a host nobody knows", "GET /public/x", []string{"Host: " + evil + ".example", "Cookie: " + session}},
		{"no host", "GET /public/x", []string{"Host:", "Cookie: " + session}},
		{"dot segments", "GET /public/../admin/x", pass},
		{"encoded dot segments", "GET /public/%2e%2e/admin/x", pass},
		{"encoded slashes", "GET /public/..%2fadmin/x", pass},
		{"encoded twice", "GET /public/%252e%252e/admin/x", pass},
		{"a backslash", `GET /public/..\admin\x`, pass},
		{"parameters", "GET /public/..;/admin/x", pass},
		{"two slashes", "GET //admin/x", pass},
		{"two slashes later", "GET /public//../admin/x", pass},
		{"an encoded letter", "GET /%61dmin/x", pass},
		{"an encoded slash in front", "GET /%2fadmin/x", pass},
		{"a fragment", "GET /admin/x#/public/", pass},
		{"an encoded fragment", "GET /admin/x%23/public/", pass},
		{"a query", "GET /admin/x?/public/", pass},
		{"a zero byte", "GET /admin%00/public/x", pass},
		{"a line feed", "GET /admin%0a/public/x", pass},
		{"odd characters where they may be", "GET /odd/a%2Fb//c;d", pass},
		{"odd characters that lead elsewhere", "GET /odd/..%2fadmin/x", pass},
		{"odd characters, slashes that lead elsewhere", "GET /odd%2f..%2fadmin/x", pass},
		{"a star in the middle", "GET /team/a/secret", pass},
		{"a star in the middle, encoded", "GET /team/a%62/s%65cret", pass},
		{"OPTIONS *", "OPTIONS *", pass},
		{"CONNECT", "CONNECT wiki.localhost:" + port, pass},
		{"TRACE", "TRACE /public/x", pass},
		{"a method in small letters", "get /public/x", pass},
		{"another method by header", "POST /admin/x", append(pass, "X-HTTP-Method-Override: GET", "Content-Length: 0")},
		{"an upgrade to something else", "GET /public/x", append(pass, "Upgrade: h2c", "HTTP2-Settings: "+evil)},
		{"two upgrades", "GET /public/x", append(pass, "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk", "Upgrade: websocket", "Upgrade: h2c", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")},
		{"two upgrades, the other way round", "GET /public/x", append(pass, "Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket")},
		{"trailers", "POST /public/x", append(pass, "Trailer: X-Forwarded-User, Authorization", "TE: trailers", "Content-Length: 0")},
		{"a password for a proxy", "GET /public/x", append(pass, "Proxy-Authorization: Basic "+evil, "Keep-Alive: timeout=5")},
		{"a cookie's name with a long tail of blanks", "GET /public/x", append(pass, "Cookie: a"+strings.Repeat(" ", 40000)+"b=1; evergate-"+port+strings.Repeat(" ", 10000)+"=1")},
		{"the question itself, from a browser", "GET /.evergate/auth", append(pass, "X-Forwarded-Uri: /public/x", "X-Original-Url: "+public+"/public/x")},
		{"the question, encoded", "GET /.evergate/%61uth", append(pass, "X-Forwarded-Uri: /public/x", "X-Original-Url: "+public+"/public/x")},
		{"below the question", "GET /.evergate/auth/public/x", append(pass, "X-Forwarded-Uri: /public/x")},
		{"the session twice", "GET /page", []string{hostLine, "Cookie: " + session + "; " + session}},
		{"the session in two lines", "GET /page", []string{hostLine, "Cookie: a=1", "Cookie: " + session}},
		{"the session between others", "GET /page", []string{hostLine, "Cookie: a=1; " + session + "; b=2"}},
		{"many of the gateway's cookies", "GET /public/x", []string{hostLine, "Cookie: a=1; " + strings.Repeat("evergate-"+port+"-flow-x=1; ", 12) + "b=2"}},
		{"visits to the dashboard", "GET /public/x", []string{hostLine, "Cookie: a=1; evergate-admin-9180=x; " + session + "; EVERGATE-ADMIN-80=x; __Host-evergate-admin=x"}},
		{"names that read like the cookie's", "GET /public/x", []string{hostLine, fmt.Sprintf(`Cookie: a=1; =evergate-%[1]s=x; "evergate-%[1]s"=x; EVERGATE-%[1]s=x; evergate-%[1]s-form-1=x; evergate-%[1]s =x`, port)}},
	} {
		status, seen := ask(c.what, c.line, c.headers...)
		switch {
		case strings.Contains(c.what, "denied") || strings.Contains(c.what, "another host") || strings.Contains(c.what, "question"):
			if status == http.StatusOK || len(seen) > 0 {
				t.Errorf("%s: got %d, and the app saw %+v", c.what, status, seen)
			}
		case status == http.StatusOK && len(seen) != 1 && c.line != "OPTIONS *": // which net/http answers itself
			t.Errorf("%s: got %d, and the app saw %d requests", c.what, status, len(seen))
		}
		t.Logf("%-50s %d, %d at the app", c.what, status, len(seen))
	}

	// Cookies of the app's own come through beside the gateway's.
	for _, cookie := range []string{"a=1; " + session + "; b=2", session + "; a=1; b=2", "a=1; b=2; " + session} {
		if _, seen := ask("cookies", "GET /page", hostLine, "Cookie: "+cookie); len(seen) != 1 || strings.TrimSuffix(seen[0].header.Get("Cookie"), ";") != "a=1; b=2" {
			t.Errorf("of %.20s… the app saw %+v", cookie, seen)
		}
	}
	for protocol, want := range map[string]int{"websocket": http.StatusSwitchingProtocols, "h2c": http.StatusOK} {
		c, err := net.Dial("tcp", s.listen)
		if err != nil {
			t.Fatal(err)
		}
		got := upgradeOn(t, c, host, protocol, session, public)
		c.Close()
		if want == http.StatusOK && got == http.StatusSwitchingProtocols || want == http.StatusSwitchingProtocols && got != want {
			t.Errorf("an upgrade to %s: got %d", protocol, got)
		}
	}
	// The gateway goes down, and nothing passes.
	app.taken()
	s.stop(t)
	for _, line := range []string{"GET /public/x", "GET /page"} {
		if status, seen := ask("with no gateway "+line, line, pass...); len(seen) > 0 || status < 500 {
			t.Errorf("with no gateway, %s: got %d, and the app saw %+v", line, status, seen)
		}
	}
}
