package attacks

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

func init() { sections = append(sections, streams) }

// streamsOP is the provider of TestStreams: its tokens live 2 s, so that handles rotate and
// sessions end while a case looks on.
var streamsOP *oidctest.Provider

func TestStreams(t *testing.T) {
	t.Parallel()
	streamsOP = oidctest.Start(t, oidctest.Config(func(c *idp.Config) {
		c.AccessTTL = 2 * time.Second
		c.Users = append(c.Users, idp.User{Subject: "sub-carol", Username: "carol", Password: password, Groups: []string{"staff"}})
	}))
	l := newLab(t, setup{
		identity: "  - local: { users_file: users.yaml }\n" + headersProvider(streamsOP.URL()),
		files:    map[string]string{"users.yaml": usersFile, "oidc.secret": oidctest.ClientSecret},
		routes: `  - { match: { path: /public/ }, public: true, upstream: %[1]q }
  - { match: { path: /staff/ }, allow: [ groups: [staff] ], upstream: %[1]q }
  - { match: { path: /listed/ }, origins: ["https://dashboard.example.com"], upstream: %[1]q }
  - upstream: %[1]q
`,
		more: "session: { rotation_grace: 1s }\nlimits: { connections_per_address: 24, stall_timeout: 1s }\n",
	})
	headersAllow(l, streamsOP)
	streams.try(t, l)
}

// streams are connections that go on after the gateway has decided about them.
var streams = &section{name: "WebSockets and streams", test: "TestStreams", attacks: []attack{
	{"W-01", "high", "a WebSocket that a page of another site opens with the person's cookie: another host, scheme or port, a host that ends or begins like ours, `null`, two origins, a listed one on another route",
		"403, and nothing at the app; the gateway's own pages and those that the route lists get through", func(t *testing.T, l *lab) {
			l.app.answers(t, streamsSwitch)
			cookie := l.signedIn("alice")
			_, port, _ := strings.Cut(l.host, ":")
			for _, origin := range []string{
				"https://evil.test", "http://" + l.host, "https://" + gatewayHost, "https://" + gatewayHost + ":1" + port, "https://evil" + l.host, "https://" + gatewayHost + ".evil.test:" + port,
				"https://" + otherHost + ":" + port, "null", "", "https://" + l.host + "/", "https://x@" + l.host, "https://dashboard.example.com", "https://" + l.host + ", https://evil.test", "wss://" + l.host,
			} {
				l.streamsOpen(t, 403, "/socket", cookie, "Origin: "+origin)
			}
			l.streamsOpen(t, 403, "/socket", cookie, "Origin: https://"+l.host, "Origin: https://evil.test")
			l.streamsOpen(t, 403, "/listed/socket", cookie, "Origin: https://dashboard.example.com.evil.test")
			l.streamsOpen(t, 403, "/public/socket", "Origin: https://evil.test")
			l.streamsOpen(t, 101, "/socket", cookie, "Origin: https://"+l.host).streamsEchoes(t)
			l.streamsOpen(t, 101, "/listed/socket", cookie, "Origin: https://dashboard.example.com").streamsEchoes(t)
			l.saw(traces{app: 2})
		}},
	{"W-02", "medium", "a WebSocket without Origin: of a program, of what says that it is a browser, and without a session",
		"a program's passes with its session, for every browser sends an Origin; what brings Fetch Metadata is 403, and without a session it is 401", func(t *testing.T, l *lab) {
			l.app.answers(t, streamsSwitch)
			cookie := l.signedIn("alice")
			l.streamsOpen(t, 101, "/socket", cookie).streamsEchoes(t)
			l.streamsOpen(t, 403, "/socket", cookie, "Sec-Fetch-Site: cross-site")
			l.streamsOpen(t, 403, "/socket", cookie, "Sec-Fetch-Mode: websocket")
			l.streamsOpen(t, 401, "/socket")
			l.streamsOpen(t, 401, "/socket", "Origin: https://"+l.host)
			l.saw(traces{app: 1})
		}},
	{"W-04", "high", "a WebSocket and an event stream that are open when the person signs out, is signed out by the operator, is disabled, leaves the group that the rule asks for, or when the session is over with its token",
		"both are closed within 5 s, the WebSocket with code 4401; what is sent then does not reach the app, and a new one is refused. By the clock of tests: TestWebSocketEndsWithItsSession (proxy)", streamsEnd},
	{"W-05", "high", "an app that answers 200 or 426 to the upgrade, 101 to a request that asked for none or for h2c, 101 for another protocol, 101 by giving back the client's headers, 101 with a subprotocol or an extension that nobody offered; a client without a key, with two, or with another version; and each goes on as if it had got 101",
		"no tunnel: the answer as it is, 502 where it is 101, 400 or 426 before the app hears of a client that opens no WebSocket; what the client sends behind it is no request of anybody's at the app", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			for _, status := range []int{200, 426} {
				l.app.answers(t, func(*got) string { return answer(status, "Upgrade: websocket\r\nConnection: Upgrade\r\n", "no") })
				open := l.streamsOpen(t, status, "/socket", cookie)
				_, _ = io.WriteString(open, "GET /admin/ HTTP/1.1\r\nHost: app\r\n\r\n")
				if rest, _ := io.ReadAll(open.in); bytes.Contains(rest, []byte("HTTP/1.1 2")) {
					t.Errorf("after %d the client got %q", status, rest)
				}
			}
			switched := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
			for _, to := range []string{"h2c", "websocket, h2c", "websocket\r\nUpgrade: h2c", "foo/1"} {
				l.app.answers(t, func(*got) string { return switched + to + "\r\n\r\n" })
				l.streamsOpen(t, 502, "/socket", cookie)
			}
			for _, said := range []string{"websocket\r\n", "websocket\r\nSec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n",
				"websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"} {
				l.app.answers(t, func(*got) string { return switched + said + "\r\n" })
				l.streamsOpen(t, 502, "/socket", cookie)
			}
			for _, more := range []string{"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Extensions: permessage-deflate"} {
				l.app.answers(t, func(*got) string { return streamsSwitched + more + "\r\n\r\n" })
				l.streamsOpen(t, 502, "/socket", cookie)
			}
			l.app.answers(t, func(*got) string { return streamsSwitched + "\r\n" })
			l.get("/socket", cookie).status(t, 502)
			for lines, want := range map[string]int{"Sec-WebSocket-Version: 13": 400, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==": 400, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==": 426,
				"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==": 426, "Sec-WebSocket-Version: 13" + strings.Repeat("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 2): 400} {
				l.one("GET /socket HTTP/1.1\r\nHost: "+l.host+"\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"+lines+"\r\n"+cookie+"\r\n\r\n").status(t, want)
			}
			for _, to := range []string{"h2c", "WebSocket, h2c", "websocket\r\nUpgrade: h2c", "TLS/1.0", "foo/1"} {
				l.one("GET /socket HTTP/1.1\r\nHost: "+l.host+"\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: "+to+"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"+cookie+"\r\n\r\n").status(t, 502)
			}
			for _, g := range l.saw(traces{app: 18}) {
				if up := g.Header["Upgrade"]; up != nil && !slices.Equal(up, []string{"websocket"}) || g.Header["Http2-Settings"] != nil {
					t.Errorf("the app was asked to change to %q", up)
				}
			}
		}},
	{"W-06", "medium", "as many idle WebSockets from one address as it gets, and more; one that sends and takes nothing of what comes back",
		"beyond `limits.connections_per_address` a connection is closed at once, and all others go on; who takes nothing is cut after `limits.stall_timeout`. Thousands of them: TestThousandsOfStreams (e2e)", streamsMany},
	{"W-08", "medium", "a WebSocket is the first request after the handle has rotated, to an app that names the gateway's cookie in `Connection` of its 101",
		"101 carries the new handle, which is good afterwards; the app cannot take it away", func(t *testing.T, l *lab) {
			cookie, _ := l.headersSignInAt(streamsOP, "carol")
			time.Sleep(2100 * time.Millisecond)
			l.app.answers(t, func(*got) string {
				return strings.Replace(streamsSwitched, "Upgrade", "Upgrade, Set-Cookie", 1) + "Set-Cookie: __Host-Http-evergate=FIXED\r\n\r\n"
			})
			open := l.streamsOpen(t, 101, "/socket", cookie)
			open.streamsEchoes(t)
			fresh := l.cookiesOf(open.reply)
			if !strings.Contains(fresh, "__Host-Http-evergate=") || strings.Contains(fresh, "FIXED") || open.Header.Get("Connection") != "Upgrade" {
				t.Fatalf("the browser got %v", open.Header)
			}
			l.app.set(nil)
			l.get("/x", fresh).status(t, 200)
			l.saw(traces{app: 2})
		}},
}}
