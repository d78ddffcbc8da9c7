package attacks

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
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
		files:    map[string]string{"users.yaml": users(t), "oidc.secret": oidctest.ClientSecret},
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
				l.opens(t, 403, "/socket", cookie, "Origin: "+origin)
			}
			l.opens(t, 403, "/socket", cookie, "Origin: https://"+l.host, "Origin: https://evil.test")
			l.opens(t, 403, "/listed/socket", cookie, "Origin: https://dashboard.example.com.evil.test")
			l.opens(t, 403, "/public/socket", "Origin: https://evil.test")
			l.opens(t, 101, "/socket", cookie, "Origin: https://"+l.host).echoes(t)
			l.opens(t, 101, "/listed/socket", cookie, "Origin: https://dashboard.example.com").echoes(t)
			l.saw(traces{app: 2})
		}},
	{"W-02", "medium", "a WebSocket without Origin: of a program, of what says that it is a browser, and without a session",
		"a program's passes with its session, for every browser sends an Origin; what brings Fetch Metadata is 403, and without a session it is 401", func(t *testing.T, l *lab) {
			l.app.answers(t, streamsSwitch)
			cookie := l.signedIn("alice")
			l.opens(t, 101, "/socket", cookie).echoes(t)
			l.opens(t, 403, "/socket", cookie, "Sec-Fetch-Site: cross-site")
			l.opens(t, 403, "/socket", cookie, "Sec-Fetch-Mode: websocket")
			l.opens(t, 401, "/socket")
			l.opens(t, 401, "/socket", "Origin: https://"+l.host)
			l.saw(traces{app: 1})
		}},
	{"W-04", "high", "a WebSocket and an event stream that are open when the person signs out, is signed out by the operator, is disabled, leaves the group that the rule asks for, or when the session is over with its token",
		"both are closed within 5 s, the WebSocket with code 4401; what is sent then does not reach the app, and a new one is refused. By the clock of tests: TestWebSocketEndsWithItsSession (proxy)", streamsEnd},
	{"W-05", "high", "an app that answers 200 or 426 to the upgrade, 101 to a request that asked for none or for h2c, 101 for another protocol; the client goes on as if it had got 101",
		"no tunnel: the answer as it is, 502 where it is 101, and what the client sends behind it is no request of anybody's at the app", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			for _, status := range []int{200, 426} {
				l.app.answers(t, func(*got) string { return answer(status, "Upgrade: websocket\r\nConnection: Upgrade\r\n", "no") })
				open := l.opens(t, status, "/socket", cookie)
				_, _ = io.WriteString(open, "GET /admin/ HTTP/1.1\r\nHost: app\r\n\r\n")
				if rest, _ := io.ReadAll(open.in); bytes.Contains(rest, []byte("HTTP/1.1 2")) {
					t.Errorf("after %d the client got %q", status, rest)
				}
			}
			switched := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
			for _, to := range []string{"h2c", "websocket, h2c", "websocket\r\nUpgrade: h2c", "foo/1"} {
				l.app.answers(t, func(*got) string { return switched + to + "\r\n\r\n" })
				l.opens(t, 502, "/socket", cookie)
			}
			l.app.answers(t, func(*got) string { return switched + "websocket\r\n\r\n" })
			l.get("/socket", cookie).status(t, 502)
			for _, to := range []string{"h2c", "WebSocket, h2c", "websocket\r\nUpgrade: h2c", "TLS/1.0", "foo/1"} {
				l.one("GET /socket HTTP/1.1\r\nHost: "+l.host+"\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: "+to+"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"+cookie+"\r\n\r\n").status(t, 502)
			}
			for _, g := range l.saw(traces{app: 12}) {
				if up := g.Header["Upgrade"]; up != nil && !slices.Equal(up, []string{"websocket"}) || g.Header["Http2-Settings"] != nil {
					t.Errorf("the app was asked to change to %q", up)
				}
			}
		}},
	{"W-06", "medium", "as many idle WebSockets from one address as it gets, and more; one that sends and takes nothing of what comes back",
		"beyond `limits.connections_per_address` a connection is closed at once, and all others go on; who takes nothing is cut after `limits.stall_timeout`. Thousands of them: TestThousandsOfStreams (e2e)", streamsMany},
	{"W-08", "medium", "a WebSocket is the first request after the handle has rotated, to an app that names the gateway's cookie in `Connection` of its 101",
		"101 carries the new handle, which is good afterwards; the app cannot take it away", func(t *testing.T, l *lab) {
			cookie, _ := l.signInAt(streamsOP, "carol")
			time.Sleep(2100 * time.Millisecond)
			l.app.answers(t, func(*got) string {
				return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, Set-Cookie\r\nUpgrade: websocket\r\nSet-Cookie: __Host-Http-evergate=FIXED\r\n\r\n"
			})
			open := l.opens(t, 101, "/socket", cookie)
			open.echoes(t)
			fresh := l.cookiesOf(open.reply)
			if !strings.Contains(fresh, "__Host-Http-evergate=") || strings.Contains(fresh, "FIXED") || open.Header.Get("Connection") != "Upgrade" {
				t.Fatalf("the browser got %v", open.Header)
			}
			l.app.set(nil)
			l.get("/x", fresh).status(t, 200)
			l.saw(traces{app: 2})
		}},
}}

// streamsSocket is the client's side of a WebSocket.
type streamsSocket struct {
	*tls.Conn
	*reply
	in *bufio.Reader
}

// opens asks for a WebSocket, and fails the case unless the answer has the status.
func (l *lab) opens(t *testing.T, status int, target string, lines ...string) *streamsSocket {
	t.Helper()
	return l.opensOn(t, l.dial(gatewayHost), status, target, lines...)
}

func (l *lab) opensOn(t *testing.T, c *tls.Conn, status int, target string, lines ...string) *streamsSocket {
	t.Helper()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n\r\n",
		target, l.host, strings.Join(lines, "\r\n"))
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("%s with %.100q: %v", target, lines, err)
	}
	var body []byte
	if res.StatusCode != 101 {
		body, _ = io.ReadAll(res.Body)
		if status != 200 && status != 426 {
			c.Close()
		} else {
			_ = c.SetDeadline(time.Now().Add(250 * time.Millisecond))
		}
	}
	if res.StatusCode != status {
		t.Fatalf("%s with %.200q: got %d %.200s, want %d", target, lines, res.StatusCode, body, status)
	}
	return &streamsSocket{c, &reply{res, string(body)}, in}
}

// streamsSwitch is an app that takes WebSockets; see recorder.serve for what it does with them.
func streamsSwitch(g *got) string {
	switch {
	case strings.HasSuffix(g.URL.Path, "/events"): // it ends with its connection
		return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
	case g.Header.Get("Upgrade") != "websocket":
		return echo(g)
	}
	return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
}

// streamsFrame is a text frame of a client, masked with zeros (RFC 6455 section 5.2).
func streamsFrame(text string) []byte {
	head := []byte{0x81, 0x80 | byte(len(text))}
	if len(text) > 125 {
		head = []byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text))}
	}
	return append(append(head, 0, 0, 0, 0), text...)
}

// echoes fails the case unless the app sends back what it gets.
func (s *streamsSocket) echoes(t *testing.T) {
	t.Helper()
	frame := streamsFrame("are you there?")
	_, _ = s.Write(frame)
	got := make([]byte, len(frame))
	if _, err := io.ReadFull(s.in, got); err != nil || !bytes.Equal(got, frame) {
		t.Fatalf("the app sends back %q, %v", got, err)
	}
}

// ends returns how the connection ends: by a close frame with a code, or 0 without one.
func (s *streamsSocket) ends(t *testing.T) (code int) {
	t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
	rest, err := io.ReadAll(s.in)
	if isTimeoutOf(err) {
		t.Fatal("it is open after 5 s")
	}
	if len(rest) >= 4 && rest[0] == 0x88 {
		return int(rest[2])<<8 | int(rest[3])
	}
	return 0
}

func isTimeoutOf(err error) bool { return err != nil && isTimeout(err) }

func streamsEnd(t *testing.T, l *lab) {
	l.app.answers(t, streamsSwitch)
	usersFile := filepath.Join(l.dir, "users.yaml")
	edit := func(from, to string) func(string) {
		return func(string) {
			text, err := os.ReadFile(usersFile)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), from, to, 1)
			if changed == string(text) {
				t.Fatalf("the users file has no %q: %s", from, text)
			}
			l.write("users.yaml", changed)
		}
	}
	for _, c := range []struct {
		what, user string
		do         func(cookie string)
		after      int // what a new one is answered
		sessions   int
		events     []string
	}{
		{"signed out", "bob", func(cookie string) {
			l.post("/.evergate/logout", "", cookie, "Origin: https://"+l.host).status(t, 200, 303)
		}, 401, -1, []string{"session.ended/signed_out"}},
		{"by the operator", "bob", func(string) { l.revokes("local/bob") }, 401, -1, []string{"admin.revoked", "session.revoked/by_operator"}},
		{"out of the group", "carol", func(string) {
			streamsOP.Turn(func(k *idp.Knobs) {
				k.OnlyRefresh, k.MutateIDToken = true, func(_, claims map[string]any) { claims["groups"] = []string{"guests"} }
			})
		}, 403, 0, nil},
		{"disabled", "root", edit("email: root@example.com", "email: root@example.com\n        disabled: true"), 401, -1, []string{"session.withdrawn/user_withdrawn", "users.reloaded"}},
		{"over with its token", "carol", func(string) {}, 401, -1, []string{"session.ended/lifetime"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			of := l.of(t)
			var cookie string
			path := "/staff/socket"
			if c.user == "carol" {
				streamsOP.Turn(func(k *idp.Knobs) { k.NoRefreshTokens = c.sessions < 0 })
				defer streamsOP.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
				cookie, _ = of.signInAt(streamsOP, c.user)
			} else {
				cookie = of.signIn(c.user)
			}
			if c.user == "root" {
				path = "/socket"
			}
			open := of.opens(t, 101, path, cookie)
			open.echoes(t)
			events := of.dial(gatewayHost)
			fmt.Fprintf(events, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", strings.Replace(path, "socket", "events", 1), of.host, cookie)
			hears := bufio.NewReader(events)
			if _, err := hears.ReadString('1'); err != nil {
				t.Fatalf("the event stream: %v", err)
			}
			c.do(cookie)
			if code := open.ends(t); code != 4401 {
				t.Errorf("the WebSocket ends with %d, want 4401", code)
			}
			_ = events.SetReadDeadline(time.Now().Add(time.Second))
			if rest, err := io.ReadAll(hears); isTimeoutOf(err) || strings.Contains(string(rest), "\r\n0\r\n") {
				t.Errorf("the event stream goes on, or ends as if that were all of it: %q, %v", rest, err)
			}
			_, _ = open.Write(streamsFrame("too late"))
			of.opens(t, c.after, path, cookie)
			of.saw(traces{app: 2, sessions: c.sessions, events: c.events})
		})
	}
	l.looked = true
}

// revokes ends the sessions of a user as the operator does.
func (l *lab) revokes(user string) {
	l.t.Helper()
	token, err := os.ReadFile(filepath.Join(l.dir, "data", "admin.token"))
	if err != nil {
		l.t.Fatal(err)
	}
	if status := l.operatorPost("/api/sessions/revoke", "application/json", fmt.Sprintf(`{"user":%q}`, user), "Authorization: Bearer "+strings.TrimSpace(string(token))); status != 200 {
		l.t.Fatalf("the operator's call is answered %d", status)
	}
}

func streamsMany(t *testing.T, l *lab) {
	l.app.answers(t, streamsSwitch)
	cookie := l.signedIn("alice")
	var open []*streamsSocket
	closed := false
	for range 30 {
		c, err := tls.Dial("tcp", l.address, l.tlsConfig(gatewayHost, "http/1.1"))
		if closed = err != nil; closed {
			break
		}
		open = append(open, l.opensOn(t, c, 101, "/socket", cookie))
	}
	if !closed || len(open) < 10 {
		t.Errorf("one address has %d WebSockets and may open more: %v", len(open), !closed)
	}
	for _, s := range open {
		s.echoes(t)
		s.Close()
	}
	greedy := l.awaitRoom(t, cookie)
	began := time.Now()
	_ = greedy.SetWriteDeadline(began.Add(10 * time.Second))
	frame := bytes.Repeat(streamsFrame(strings.Repeat("x", 60000)), 16)
	var err error
	for err == nil {
		_, err = greedy.Write(frame)
	}
	if isTimeout(err) {
		t.Errorf("who takes nothing still has its connection after %v", time.Since(began))
	}
	l.saw(traces{app: len(open) + 1})
}

// awaitRoom opens a WebSocket once the gateway has noticed that others are closed.
func (l *lab) awaitRoom(t *testing.T, cookie string) *streamsSocket {
	t.Helper()
	for range 200 {
		if c, err := tls.Dial("tcp", l.address, l.tlsConfig(gatewayHost, "http/1.1")); err == nil {
			return l.opensOn(t, c, 101, "/socket", cookie)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("connections were closed, and there is no room")
	return nil
}
