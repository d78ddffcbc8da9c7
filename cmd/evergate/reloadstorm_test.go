//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// stormTime is how long TestReloadStorm reloads: EVERGATE_RELOAD_FOR, or some seconds.
func stormTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("EVERGATE_RELOAD_FOR")
	if text == "" {
		return 6 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestReloadStorm: a reload every 200 ms, of two configs in turn that differ in most of
// what can change and now and then of one that is broken, under load on connections
// that are kept and on fresh ones. No request fails; an event stream, a WebSocket and an
// upload go on throughout; what was replaced is gone afterwards.
func TestReloadStorm(t *testing.T) {
	most := stormTime(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upload":
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := 0; r.Context().Err() == nil; i++ {
				fmt.Fprintf(w, "data: %d\n\n", i)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			echo(w, r)
		}
	}))
	defer app.Close()
	other := httptest.NewServer(app.Config.Handler)
	defer other.Close()
	l := newLineage(t, app.URL, "admin:", "log: { level: warn }\nadmin:")
	base, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	one := string(base)
	two := strings.NewReplacer(
		"- upstream: "+app.URL, "- allow: [ users: [alice] ]\n    response_headers: { set: { X-Edition: two } }\n    upstream: { targets: ["+app.URL+", "+other.URL+"], health: { path: /health, interval: 1s } }\n"+
			"  - match: { path: /more/ }\n    public: true\n    upstream: "+other.URL,
		"rotation_grace: 1s", "rotation_grace: 2s, idle_timeout: 1h, max_lifetime: 24h",
		"ttl: 30s", "ttl: 40s, audience: another",
		"trusted_proxies: [127.0.0.1]", "trusted_proxies: [127.0.0.1, 192.0.2.0/24]\nlimits: { body_bytes: 1GiB, connections_per_address: 900 }").Replace(one)
	broken := strings.Replace(one, "upstream:", "upsteam:", 1)

	b := newBrowser(t)
	signInAgain(t, l.process, b)
	load := l.load(b, 4)
	client := &http.Client{Jar: b.client.Jar}

	upload, sent := make(chan string, 1), 0
	reader, writer := io.Pipe()
	go func() {
		res, err := client.Post(l.base+"/upload", "application/octet-stream", reader)
		if err != nil {
			upload <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		upload <- string(body)
	}()
	var events atomic.Int64
	eventsOver := make(chan error, 1)
	res, err := client.Get(l.base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	go func() {
		in := bufio.NewScanner(res.Body)
		for in.Scan() {
			if n, found := strings.CutPrefix(in.Text(), "data: "); found {
				if i, err := strconv.ParseInt(n, 10, 64); err != nil || i != events.Load() {
					eventsOver <- fmt.Errorf("got event %s, want %d", n, events.Load())
					return
				}
				events.Add(1)
			}
		}
		eventsOver <- fmt.Errorf("the stream ended: %w", in.Err())
	}()
	socket, _, err := websocket.Dial(t.Context(), strings.Replace(l.base, "http", "ws", 1)+"/socket", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()

	read := func(outcome string) int {
		_, m := l.admin("/metrics")
		return metric(t, m, `evergate_config_reloads_total{outcome="`+outcome+`"}`)
	}
	reloads, bad := 0, 0
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < most; reloads++ {
		text, outcome := []string{two, one}[reloads%2], "applied"
		if reloads%7 == 6 {
			text, outcome = broken, "rejected"
			bad++
		}
		before := read(outcome)
		if err := os.WriteFile(l.file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(l.file+".new", l.file); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(l.pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if n, err := writer.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
			t.Fatalf("the upload after %v: %v", time.Since(begin), err)
		} else {
			sent += n
		}
		if err := socket.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			t.Fatalf("the WebSocket after %v: %v", time.Since(begin), err)
		}
		if _, got, err := socket.Read(t.Context()); err != nil || string(got) != "hello" {
			t.Fatalf("the WebSocket after %v: got %q, %v", time.Since(begin), got, err)
		}
		// Before the next, or it could replace a file that nobody has read.
		l.within("the reload", func() bool { return read(outcome) > before })
		select {
		case err := <-eventsOver:
			t.Fatalf("the event stream after %v: %v", time.Since(begin), err)
		case <-tick.C:
		}
	}
	load.end(t, 100)
	writer.Close()
	if got, want := <-upload, fmt.Sprintf("%d <nil>", sent); got != want {
		t.Errorf("the upload: got %s, want %s", got, want)
	}
	least := most.Milliseconds() / 20 / 2
	l.within(fmt.Sprintf("%d events", least), func() bool { return events.Load() >= least })
	applied, rejected := read("applied"), read("rejected")
	if applied < reloads-bad || rejected < bad {
		t.Errorf("got %d reloads applied and %d rejected, want %d and %d", applied, rejected, reloads-bad, bad)
	}
	l.within("that what was replaced is gone", func() bool {
		_, m := l.admin("/metrics")
		return metric(t, m, "go_goroutines") < 150
	})
	t.Logf("%d reloads applied, %d rejected; %d events, %d bytes sent up", applied, rejected, events.Load(), sent)
}

// metric is the value of one line of /metrics.
func metric(t *testing.T, text, name string) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s is not among the metrics:\n%s", name, text)
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(f)
}
