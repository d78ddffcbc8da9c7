package proxy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestHandshakeOfClients: what opens no WebSocket is refused before anybody is asked.
func TestHandshakeOfClients(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	const version, key = "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
	for _, tt := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"a right one", []string{version, key}, 200},
		{"a key whose last bits say nothing", []string{version, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB=="}, 200},
		{"no key", []string{version}, 400},
		{"two keys", []string{version, key, key}, 400},
		{"two keys in a line", []string{version, key + ", AAAAAAAAAAAAAAAAAAAAAA=="}, 400},
		{"an empty key", []string{version, "Sec-WebSocket-Key:"}, 400},
		{"15 bytes", []string{version, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"}, 400},
		{"17 bytes", []string{version, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="}, 400},
		{"18 bytes", []string{version, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"}, 400},
		{"no base64", []string{version, "Sec-WebSocket-Key: AAAAAAAAAAA AAAAAAAAAA=="}, 400},
		{"base64 of another kind", []string{version, "Sec-WebSocket-Key: ____________________AA=="}, 400},
		{"without padding", []string{version, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA"}, 400},
		{"two versions", []string{version, version, key}, 400},
		{"no version", []string{key}, 426},
		{"a version of a draft", []string{"Sec-WebSocket-Version: 8", key}, 426},
		{"versions to choose from", []string{"Sec-WebSocket-Version: 13, 8", key}, 426},
		{"a draft without version and key", nil, 426},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(up.requests())
			res := gw.send(t, get("/", append(tt.lines, "Connection: Upgrade", "Upgrade: websocket")...))
			if res.StatusCode != tt.status || tt.status != 200 && !strings.Contains(res.body, "bad_upgrade") {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.body, tt.status)
			}
			if got := res.Header.Get("Sec-WebSocket-Version"); (got == "13") != (tt.status == 426) {
				t.Errorf("got Sec-WebSocket-Version %q", got)
			}
			if got := res.Header.Get("Upgrade"); (got == "websocket") != (tt.status == 426) {
				t.Errorf("got Upgrade %q", got)
			}
			if n := len(up.requests()) - before; (n == 1) != (tt.status == 200) {
				t.Errorf("%d requests reached the app", n)
			}
		})
	}
	// Without the word in Connection nobody is asked for another protocol (RFC 9110 section 7.8).
	if res := gw.send(t, get("/", "Upgrade: websocket", version)); res.StatusCode != 200 || len(header(up.last(t), "Upgrade")) != 0 {
		t.Errorf("got %d, and the app\n%s", res.StatusCode, up.last(t))
	}
}

// TestHandshakeOfApps: where an app has not understood, nothing that the client says next is
// heard there, for it would be read as requests.
func TestHandshakeOfApps(t *testing.T) {
	const accept = "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\n"
	for _, tt := range []struct {
		name, asked, answered string
		status                int
	}{
		{"a right one", "", accept, 101},
		{"a subprotocol that was offered", "Sec-WebSocket-Protocol: graphql-ws, mqtt", accept + "Sec-WebSocket-Protocol: mqtt\n", 101},
		{"an extension that was offered", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", accept + "Sec-WebSocket-Extensions: permessage-deflate;server_no_context_takeover\n", 101},
		{"none of those that were offered", "Sec-WebSocket-Extensions: permessage-deflate", accept, 101},
		{"no accept", "", "", 502},
		{"the accept of another key", "", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n", 502},
		{"the key itself", "", "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAA==\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n", 502},
		{"accept twice", "", accept + accept, 502},
		{"a subprotocol that nobody offered", "", accept + "Sec-WebSocket-Protocol: mqtt\n", 502},
		{"another subprotocol", "Sec-WebSocket-Protocol: graphql-ws", accept + "Sec-WebSocket-Protocol: mqtt\n", 502},
		{"two subprotocols", "Sec-WebSocket-Protocol: graphql-ws, mqtt", accept + "Sec-WebSocket-Protocol: mqtt\nSec-WebSocket-Protocol: graphql-ws\n", 502},
		{"all that were offered", "Sec-WebSocket-Protocol: graphql-ws, mqtt", accept + "Sec-WebSocket-Protocol: graphql-ws, mqtt\n", 502},
		{"an extension that nobody offered", "", accept + "Sec-WebSocket-Extensions: permessage-deflate\n", 502},
		{"an extension in the parameters of another", "Sec-WebSocket-Extensions: a; x=\"1, permessage-deflate\"", accept + "Sec-WebSocket-Extensions: a, permessage-deflate\n", 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said := make(chan string, 1)
			up := newUpstream(t, func(conn net.Conn, _ *http.Request) {
				_, _ = io.WriteString(conn, strings.ReplaceAll("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n"+tt.answered+"\n", "\n", "\r\n"))
				all, _ := io.ReadAll(io.LimitReader(conn, 5))
				said <- string(all)
			})
			s := newSession()
			s.due = fresh
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
			lines := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}
			if tt.asked != "" {
				lines = append(lines, tt.asked)
			}
			res := gw.send(t, get("/", lines...)+"GET /smuggled HTTP/1.1\nHost: app\n\n")
			if res.StatusCode != tt.status || tt.status == 502 && !strings.Contains(res.body, "bad_upgrade") {
				t.Errorf("got %d %s, want %d", res.StatusCode, res.body, tt.status)
			}
			if got := res.Header.Get("Set-Cookie"); got != fresh {
				t.Errorf("the cookie that was due: got %q", got)
			}
			if got := <-said; (got == "") != (tt.status == 502) {
				t.Errorf("the app heard %q after its 101", got)
			}
		})
	}
}
