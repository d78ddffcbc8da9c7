package demo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/cmd/evergate/internal/demo"
)

// event is the data of an event of the stream, and of a line of the WebSocket.
type event struct {
	Token   string
	Seconds int
}

func TestStreamIsFlushedAndNamesTheTokenThatOpenedIt(t *testing.T) {
	_, url := open(t, demo.Options{})
	req, _ := http.NewRequestWithContext(t.Context(), "GET", url+"/events", nil)
	req.Header.Set("Authorization", "Bearer "+jwt(`{"jti":"first"}`))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type: got %q", got)
	}
	lines := bufio.NewScanner(resp.Body)
	for n := 0; n < 3 && lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil || e.Token != "first" {
			t.Fatalf("event %d: got %q (%v), want the token named", n, data, err)
		}
		n++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, url string, headers http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	return websocket.Dial(t.Context(), strings.Replace(url, "http", "ws", 1)+"/ws", &websocket.DialOptions{HTTPHeader: headers})
}

// heard returns the next message that is not the app's own line, and how many
// of those came before it.
func heard(t *testing.T, conn *websocket.Conn) (kind websocket.MessageType, message string, lines int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for {
		kind, b, err := conn.Read(ctx)
		if err != nil {
			t.Fatalf("read a message: %v", err)
		}
		if !strings.HasPrefix(string(b), "ping {") {
			return kind, string(b), lines
		}
		lines++
	}
}

func TestWebSocketEchoes(t *testing.T) {
	_, url := open(t, demo.Options{})
	conn, _, err := dial(t, url, http.Header{"Origin": {"http://app.test"}, "X-Forwarded-Host": {"app.test"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	for _, want := range []struct {
		kind    websocket.MessageType
		message string
	}{
		{websocket.MessageText, "hello ü"}, {websocket.MessageBinary, "\xff\x00\r\n"}, {websocket.MessageText, ""},
		{websocket.MessageText, strings.Repeat("x", 64<<10)},
	} {
		if err := conn.Write(t.Context(), want.kind, []byte(want.message)); err != nil {
			t.Fatal(err)
		}
		if kind, message, _ := heard(t, conn); kind != want.kind || message != want.message {
			t.Errorf("echo: got %v of %d bytes, want %v of %d", kind, len(message), want.kind, len(want.message))
		}
	}
	time.Sleep(30 * time.Millisecond) // some ticks
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("last")); err != nil {
		t.Fatal(err)
	}
	if _, _, lines := heard(t, conn); lines == 0 {
		t.Error("no line came by itself")
	}
}

func TestWebSocketRefusesForeignPages(t *testing.T) {
	_, url := open(t, demo.Options{})
	for _, origin := range []string{"https://evil.example", "null", "http://app.test.evil.example", "://"} {
		_, resp, err := dial(t, url, http.Header{"Origin": {origin}, "X-Forwarded-Host": {"app.test"}})
		if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %q: got %v (%v), want 403", origin, resp, err)
		}
	}
}
