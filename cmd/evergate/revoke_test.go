//go:build unix

package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestDisabledUserIsOutAtOnce: `evergate user disable` on a running gateway
// ends the user's sessions and closes their WebSockets, with a close code that
// says why; a changed password does the same.
func TestDisabledUserIsOutAtOnce(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"disabled":         {"user", "disable"},
		"password changed": {"user", "passwd", "--password-stdin"},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := httptest.NewServer(http.HandlerFunc(echo))
			defer upstream.Close()
			p := newProcess(t, upstream.URL)
			p.start()
			defer p.kill()
			b := newBrowser(t)
			signInAgain(t, p, b)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			socket, _, err := websocket.Dial(ctx, strings.Replace(p.base, "http", "ws", 1)+"/socket",
				&websocket.DialOptions{HTTPClient: &http.Client{Jar: b.client.Jar}})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.CloseNow()
			if err := socket.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, data, err := socket.Read(ctx); err != nil || string(data) != "hello" {
				t.Fatalf("echo: got %q, %v", data, err)
			}

			var out bytes.Buffer
			args := append(args[:len(args):len(args)], "--config", p.file, "alice")
			if code := run(args, strings.NewReader("other words in a row\n"), &out, &out); code != exitOK {
				t.Fatalf("%v: %s", args, &out)
			}
			users, stat := os.Stat(filepath.Join(filepath.Dir(p.file), "users.yaml"))
			if stat != nil {
				t.Fatal(stat)
			}
			_, _, err = socket.Read(ctx)
			if took := p.toldAt(`"path":"/socket"`).Sub(users.ModTime()); websocket.CloseStatus(err) != 4401 || took > 3*time.Second {
				t.Errorf("the socket: got %v after %v, want close code 4401 within a second or two", err, took)
			}
			if code, err := b.get(t.Context(), p.base); err != nil || code != http.StatusUnauthorized {
				t.Errorf("the next request: got %d, %v, want 401", code, err)
			}
		})
	}
}

// echo answers a WebSocket with what it says, and everything else with "app".
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		_, _ = w.Write([]byte("app"))
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, data, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, data) != nil {
			return
		}
	}
}
