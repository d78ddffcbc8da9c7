package door_test

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

// TestAuthorityThatSaysLater: an attempt does not sleep for as long as an authority
// says; it ends, is told, and the next one comes when it is due. Close waits for none.
func TestAuthorityThatSaysLater(t *testing.T) {
	var asked atomic.Int32
	busy := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"detail":"come back in an hour"}`)
	}))
	defer busy.Close()
	roots := x509.NewCertPool()
	roots.AddCert(busy.Certificate())
	a, err := door.NewACME(door.ACMEOptions{Hosts: []string{"gate.example"}, Directory: busy.URL, Roots: roots, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a.Start()
	within(t, 20*time.Second, "the attempt is over and told", func() bool {
		err := a.Trouble()
		return err != nil && strings.Contains(err.Error(), "come back in an hour")
	})
	if got := asked.Load(); got != 1 {
		t.Errorf("the authority was asked %d times, want once", got)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestPatience: how long is waited for an authority that cannot answer now.
func TestPatience(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	for _, c := range []struct {
		name  string
		tries int
		after string
		ended chan struct{}
		most  time.Duration
	}{
		{"the first time", 1, "", nil, 2 * time.Second},
		{"the tenth", 10, "", nil, 10 * time.Second},
		{"it says when", 1, "7", nil, 10 * time.Second},
		{"it says when, too late", 1, "11", nil, 0},
		{"it says a day", 1, time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat), nil, 0},
		{"it says nonsense", 1, "soon", nil, 2 * time.Second},
		{"we are closing", 1, "", closed, 0},
	} {
		h := http.Header{}
		if c.after != "" {
			h.Set("Retry-After", c.after)
		}
		got := door.Patience(c.ended, c.tries, h)
		if got > c.most || c.most > 0 && got <= 0 || c.most == 0 && got >= 0 {
			t.Errorf("%s: got %v, want up to %v", c.name, got, c.most)
		}
	}
}

// TestPollsAreNotPutOff: autocert sleeps for as long as an order that is under way
// says, whatever its client is told; so it is not told more than we have time for.
func TestPollsAreNotPutOff(t *testing.T) {
	for said, want := range map[string]string{"3": "3", "11": "10", "86400": "10", "99999999999999999999": "10", "soon": "",
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): "10", "": ""} {
		h := http.Header{}
		if said != "" {
			h.Set("Retry-After", said)
		}
		door.Hasten(h)
		if got := h.Get("Retry-After"); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

// TestBodyForTheRedirectNeverComes: nobody reads it, and net/http would wait for it
// without end before it answers.
func TestBodyForTheRedirectNeverComes(t *testing.T) {
	s := serve(t, door.Options{Known: func(string) bool { return true }, Port: "443", Limits: door.Limits{HeaderTimeout: time.Second}})
	conn := dialFrom(t, stranger, s.redirect)
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: gate.example\r\nContent-Length: 100\r\n\r\nhalf")
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	var got strings.Builder
	for buf := make([]byte, 1024); ; {
		n, err := conn.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			if strings.Contains(err.Error(), "timeout") {
				t.Errorf("the connection is held open; it said %q", got.String())
			}
			return
		}
	}
}
