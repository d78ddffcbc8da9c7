package attacks

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// streamsSocket is the client's side of a WebSocket.
type streamsSocket struct {
	*tls.Conn
	*reply
	in *bufio.Reader
}

// streamsOpen asks for a WebSocket, and fails the case unless the answer has the status.
func (l *lab) streamsOpen(t *testing.T, status int, target string, lines ...string) *streamsSocket {
	t.Helper()
	return l.streamsOpenOn(t, l.dial(gatewayHost), status, target, lines...)
}

func (l *lab) streamsOpenOn(t *testing.T, c *tls.Conn, status int, target string, lines ...string) *streamsSocket {
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

// streamsSwitched is the answer that opens a WebSocket of streamsOpen, but for its end and for what
// else it says.
const streamsSwitched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

// streamsSwitch is an app that takes WebSockets; see recorder.serve for what it does with them.
func streamsSwitch(g *got) string {
	switch {
	case strings.HasSuffix(g.URL.Path, "/events"): // it ends with its connection
		return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
	case g.Header.Get("Upgrade") != "websocket":
		return echo(g)
	}
	return streamsSwitched + "\r\n"
}

// streamsFrame is a text frame of a client, masked with zeros (RFC 6455 section 5.2).
func streamsFrame(text string) []byte {
	head := []byte{0x81, 0x80 | byte(len(text))}
	if len(text) > 125 {
		head = []byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text))}
	}
	return append(append(head, 0, 0, 0, 0), text...)
}

// streamsEchoes fails the case unless the app sends back what it gets.
func (s *streamsSocket) streamsEchoes(t *testing.T) {
	t.Helper()
	frame := streamsFrame("are you there?")
	_, _ = s.Write(frame)
	got := make([]byte, len(frame))
	if _, err := io.ReadFull(s.in, got); err != nil || !bytes.Equal(got, frame) {
		t.Fatalf("the app sends back %q, %v", got, err)
	}
}

// streamsEnds returns how the connection ends: by a close frame with a code, or 0 without one.
func (s *streamsSocket) streamsEnds(t *testing.T) (code int) {
	t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(s.in)
	if isTimeout(err) {
		t.Fatalf("it is open after %v", patience)
	}
	if len(rest) >= 4 && rest[0] == 0x88 {
		return int(rest[2])<<8 | int(rest[3])
	}
	return 0
}

func streamsEnd(t *testing.T, l *lab) {
	l.app.answers(t, streamsSwitch)
	usersFile := filepath.Join(l.dir, "users.yaml")
	edit := func(from, to string) func(string) {
		return func(string) {
			b, err := os.ReadFile(usersFile)
			text := string(must(t, b, err))
			changed := strings.Replace(text, from, to, 1)
			if changed == text {
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
		{"by the operator", "bob", func(string) { l.streamsRevoke("local/bob") }, 401, -1, []string{"admin.revoked", "session.revoked/by_operator"}},
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
				cookie, _ = of.headersSignInAt(streamsOP, c.user)
			} else {
				cookie = of.signIn(c.user)
			}
			if c.user == "root" {
				path = "/socket"
			}
			open := of.streamsOpen(t, 101, path, cookie)
			open.streamsEchoes(t)
			events := of.dial(gatewayHost)
			fmt.Fprintf(events, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", strings.Replace(path, "socket", "events", 1), of.host, cookie)
			hears := bufio.NewReader(events)
			if _, err := hears.ReadString('1'); err != nil {
				t.Fatalf("the event stream: %v", err)
			}
			c.do(cookie)
			if code := open.streamsEnds(t); code != 4401 {
				t.Errorf("the WebSocket ends with %d, want 4401", code)
			}
			_ = events.SetReadDeadline(time.Now().Add(patience))
			if rest, err := io.ReadAll(hears); isTimeout(err) || strings.Contains(string(rest), "\r\n0\r\n") {
				t.Errorf("the event stream goes on, or ends as if that were all of it: %q, %v", rest, err)
			}
			_, _ = open.Write(streamsFrame("too late"))
			of.streamsOpen(t, c.after, path, cookie)
			of.saw(traces{app: 2, sessions: c.sessions, events: c.events})
			if len(c.events) > 0 {
				if took := of.streamsOver().Sub(streamsTime(t, of.events()[of.before.audit])); took > 5*time.Second {
					t.Errorf("they were open for %v, by the gateway's own clock", took)
				}
			}
		})
	}
	l.looked = true
}

// streamsOver is when the last of a WebSocket and an event stream was over, as the access log has it.
func (l *lab) streamsOver() (last time.Time) {
	l.t.Helper()
	l.eventually("the access log has the end of both", func() bool {
		ends := 0
		for line := range strings.Lines(l.out.from(l.before.log)) {
			var e map[string]any
			if json.Unmarshal([]byte(line), &e) != nil || e["msg"] != "request" || e["status"] != 101.0 && !strings.HasSuffix(fmt.Sprint(e["path"]), "/events") {
				continue
			}
			ends++
			if at := streamsTime(l.t, e); at.After(last) {
				last = at
			}
		}
		return ends == 2
	})
	return last
}

// streamsTime is the time of a line of a log.
func streamsTime(t *testing.T, e map[string]any) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"]))
	return must(t, at, err)
}

// streamsRevoke ends the sessions of a user as the operator does.
func (l *lab) streamsRevoke(user string) {
	l.t.Helper()
	token, err := os.ReadFile(filepath.Join(l.dir, "data", "admin.token"))
	if err != nil {
		l.t.Fatal(err)
	}
	if status := l.crossSitePost("/api/sessions/revoke", "application/json", fmt.Sprintf(`{"user":%q}`, user), "Authorization: Bearer "+strings.TrimSpace(string(token))); status != 200 {
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
		open = append(open, l.streamsOpenOn(t, c, 101, "/socket", cookie))
	}
	if !closed || len(open) < 10 {
		t.Errorf("one address has %d WebSockets and may open more: %v", len(open), !closed)
	}
	for _, s := range open {
		s.streamsEchoes(t)
		s.Close()
	}
	greedy := l.streamsAwaitRoom(t, cookie)
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

// streamsAwaitRoom opens a WebSocket once the gateway has noticed that others are closed.
func (l *lab) streamsAwaitRoom(t *testing.T, cookie string) *streamsSocket {
	t.Helper()
	for range 200 {
		if c, err := tls.Dial("tcp", l.address, l.tlsConfig(gatewayHost, "http/1.1")); err == nil {
			return l.streamsOpenOn(t, c, 101, "/socket", cookie)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("connections were closed, and there is no room")
	return nil
}
