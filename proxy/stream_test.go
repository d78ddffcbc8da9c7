package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// serve is a gateway of one route before a real server.
func serve(t *testing.T, who auth.Authenticator, route proxy.Route, app http.HandlerFunc) *gateway {
	t.Helper()
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	route.Upstream = newWay(t, proxy.UpstreamOptions{Target: server.URL})
	return newGateway(t, &proxy.Gate{Auth: who, Router: newRouter(t, &route)})
}

func (gw *gateway) request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, gw.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: sid, Value: "alice"})
	return req
}

func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	for {
		kind, data, err := conn.Read(r.Context())
		if err != nil || conn.Write(r.Context(), kind, data) != nil {
			return
		}
	}
}

func dial(t *testing.T, gw *gateway, h http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Cookie", sid+"=alice")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return websocket.Dial(ctx, "ws"+strings.TrimPrefix(gw.URL, "http"), &websocket.DialOptions{HTTPHeader: h, Host: "gw.test"})
}

func TestWebSocket(t *testing.T) {
	s := newSession()
	s.due = fresh
	gw := serve(t, alice(s), proxy.Route{}, echo)
	conn, res, err := dial(t, gw, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if got := res.Header.Get("Set-Cookie"); got != fresh { // W-08
		t.Errorf("cookie on 101: got %q, want %q", got, fresh)
	}
	conn.SetReadLimit(1 << 20)
	for _, size := range []int{1, 125, 126, 70_000} {
		sent := bytes.Repeat([]byte{'x'}, size)
		if err := conn.Write(t.Context(), websocket.MessageBinary, sent); err != nil {
			t.Fatal(err)
		}
		_, got, err := conn.Read(t.Context())
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, size)
		}
	}
	delivered, attended, active := s.counts()
	if delivered != 1 || attended != 1 || active < 4 {
		t.Errorf("got %d deliveries, %d attended, %d times active, want 1, 1 and at least 4", delivered, attended, active)
	}
	if err := conn.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestWebSocketEndsWithItsSession(t *testing.T) { // W-04
	for name, busy := range map[string]bool{"idle": false, "busy": true} {
		t.Run(name, func(t *testing.T) {
			s := newSession()
			upstreamEnded := make(chan time.Time, 1)
			gw := serve(t, alice(s), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
				defer func() { upstreamEnded <- time.Now() }()
				conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
				if err != nil {
					return
				}
				defer conn.CloseNow()
				ctx := conn.CloseRead(r.Context())
				for busy && conn.Write(ctx, websocket.MessageText, bytes.Repeat([]byte("y"), 300)) == nil {
				}
				<-ctx.Done()
			})
			conn, _, err := dial(t, gw, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseNow()
			if err := (<-s.check)(&auth.Login{}); err != nil {
				t.Errorf("the rule of the route: got %v, want nil", err)
			}
			ended := make(chan time.Time, 1)
			time.AfterFunc(20*time.Millisecond, func() {
				ended <- time.Now()
				s.end()
			})
			for err == nil {
				_, _, err = conn.Read(t.Context())
			}
			closed, began := time.Now(), <-ended
			if status := websocket.CloseStatus(err); !busy && status != proxy.CloseSessionEnded {
				t.Errorf("got %v, want close code %d", err, proxy.CloseSessionEnded)
			}
			inASecond(t, "the upstream's side", began, upstreamEnded)
			if took := closed.Sub(began); took > time.Second {
				t.Errorf("took %v, want under a second", took)
			}
		})
	}
}

func TestWebSocketOrigins(t *testing.T) {
	gw := serve(t, alice(nil), proxy.Route{Origins: []string{"https://App.example.com:443/"}}, echo)
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"same origin", http.Header{"Origin": {"https://gw.test"}}, 101},
		{"same origin in another case", http.Header{"Origin": {"HTTPS://GW.TEST"}}, 101},
		{"a listed origin", http.Header{"Origin": {"https://app.example.com"}}, 101},
		{"W-01 a foreign origin", http.Header{"Origin": {"https://evil.test"}}, 403},
		{"another scheme", http.Header{"Origin": {"http://gw.test"}}, 403},
		{"another port", http.Header{"Origin": {"https://gw.test:8443"}}, 403},
		{"an origin that ends like ours", http.Header{"Origin": {"https://evilgw.test"}}, 403},
		{"null", http.Header{"Origin": {"null"}}, 403},
		{"two origins", http.Header{"Origin": {"https://gw.test", "https://evil.test"}}, 403},
		{"W-02 a program without origin", nil, 101},
		{"W-02 a browser without origin", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, res, err := dial(t, gw, tt.header)
			if conn != nil {
				conn.CloseNow()
			}
			if res == nil || res.StatusCode != tt.status {
				t.Errorf("got %v, %v, want %d", res, err, tt.status)
			}
		})
	}
	ws := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}
	for name, req := range map[string]string{
		"POST":     strings.Replace(get("/", ws...), "GET", "POST", 1),
		"HTTP/1.0": strings.Replace(get("/", ws...), "HTTP/1.1", "HTTP/1.0", 1),
		"a body":   get("/", append(ws, "Content-Length: 1")...) + "x",
	} {
		if res := gw.send(t, req); res.StatusCode != 400 {
			t.Errorf("%s: got %d, want 400", name, res.StatusCode)
		}
	}
}

func TestUpgradeThatIsTurnedDown(t *testing.T) { // W-05
	for _, status := range []int{200, 426} {
		up := newUpstream(t, says(fmt.Sprintf("HTTP/1.1 %d Whatever\nContent-Length: 2\n\nno", status)))
		gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
		res := gw.send(t, get("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
		if res.StatusCode != status || res.body != "no" {
			t.Errorf("got %d %q, want %d", res.StatusCode, res.body, status)
		}
	}
}

func TestEventStream(t *testing.T) {
	s := newSession()
	s.due = fresh
	ended := make(chan time.Time, 1)
	next := make(chan struct{})
	gw := serve(t, alice(s), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- time.Now() }()
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	res, err := http.DefaultClient.Do(gw.request(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Set-Cookie"); got != fresh {
		t.Errorf("cookie: got %q before the first event, want %q", got, fresh)
	}
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		next <- struct{}{} // each event has to arrive before the next is sent
		if got, err := lines.ReadString('\n'); err != nil || got != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("got %q, %v, want event %d", got, err, i)
		}
		_, _ = lines.ReadString('\n')
	}
	began := time.Now()
	s.end()
	inASecond(t, "the upstream's side", began, ended)
	if _, err := io.ReadAll(lines); err == nil {
		t.Error("got a clean end, want a broken one, so that the browser reconnects")
	}
	if log := gw.log.String(); log != "" {
		t.Errorf("got log lines:\n%s", log)
	}
}

func TestLongResponsesOfUnknownLengthAreAttended(t *testing.T) {
	s := newSession()
	gw := serve(t, alice(s), proxy.Route{Policy: auth.Policy{Allow: []*auth.Rule{{Groups: []string{"staff"}}}}}, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		if r.URL.Path == "/long" {
			<-r.Context().Done()
		}
	})
	res, err := http.DefaultClient.Do(gw.request(t, "GET", "/short", nil))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	res, err = http.DefaultClient.Do(gw.request(t, "GET", "/long", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	allowed := <-s.check
	if _, denied := errors.AsType[*auth.Denied](allowed(&auth.Login{})); !denied {
		t.Error("the rule lets somebody without groups go on")
	}
	if err := allowed(&auth.Login{Identity: auth.Identity{Groups: []string{"staff"}}}); err != nil {
		t.Errorf("the rule: got %v, want nil", err)
	}
	s.end()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("got a clean end, want a broken one")
	}
	if _, attended, _ := s.counts(); attended != 1 {
		t.Errorf("got %d attended, want the long one alone", attended)
	}
}

func TestCookieIsFlushedBeforeASlowBody(t *testing.T) {
	s := newSession()
	s.due = fresh
	release := make(chan struct{})
	gw := serve(t, alice(s), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-release
		fmt.Fprint(w, "ok")
	})
	res, err := http.DefaultClient.Do(gw.request(t, "GET", "/", nil)) // returns once the header is there
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Set-Cookie"); got != fresh {
		t.Errorf("got %q, want %q", got, fresh)
	}
	close(release)
	if body, err := io.ReadAll(res.Body); string(body) != "ok" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
}
