package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newTickingApp is an app that sends something on each WebSocket and event stream every
// two seconds. Event streams are served by HTTP/2 without TLS at its second address.
func newTickingApp(t *testing.T) (sockets, streams string) {
	t.Helper()
	const pause = 2 * time.Second
	end := make(chan struct{})
	var served sync.WaitGroup
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, "hello")
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		served.Go(func() {
			defer conn.Close()
			for err == nil {
				select {
				case <-end:
					return
				case <-time.After(pause):
				}
				_, err = conn.Write([]byte{0x81, 2, 'o', 'k'}) // one text frame (RFC 6455 section 5.2)
			}
		})
	}))
	events := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if _, err := io.WriteString(w, "data: ok\n\n"); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-end:
				return
			case <-r.Context().Done():
				return
			case <-time.After(pause):
			}
		}
	}))
	events.Config.Protocols = new(http.Protocols)
	events.Config.Protocols.SetUnencryptedHTTP2(true)
	events.Config.Protocols.SetHTTP1(true)
	events.Start()
	t.Cleanup(func() {
		close(end)
		app.Close()
		events.Close()
		served.Wait()
	})
	return app.URL, events.URL
}

// crew holds streams open, each on a connection of its own.
type crew struct {
	t       *testing.T
	address string
	wg      sync.WaitGroup
	open    atomic.Int64
	stopped atomic.Bool

	mu      sync.Mutex // guards the rest
	dropped []string
	heard   map[net.Conn]*atomic.Int64 // when something last came, in Unix seconds
}

// hold opens one, and reads until it ends or the crew stops.
func (c *crew) hold(path, cookie, want string, more ...string) {
	drop := func(format string, args ...any) {
		if c.stopped.Load() {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.dropped = append(c.dropped, path+": "+fmt.Sprintf(format, args...))
	}
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		drop("connect: %v", err)
		return
	}
	defer conn.Close()
	last := new(atomic.Int64)
	c.mu.Lock()
	c.heard[conn] = last
	c.mu.Unlock()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n%s\r\n", path, c.address, cookie, strings.Join(more, ""))
	read := bufio.NewReaderSize(conn, 512)
	status, err := read.ReadString('\n')
	if err != nil || !strings.HasPrefix(status, "HTTP/1.1 "+want) {
		drop("got %q, %v", status, err)
		return
	}
	c.open.Add(1)
	defer c.open.Add(-1)
	b := make([]byte, 256)
	for {
		n, err := read.Read(b)
		if n > 0 {
			last.Store(time.Now().Unix())
		}
		if err != nil {
			drop("ended: %v", err)
			return
		}
	}
}

// silent counts those on which nothing came for d.
func (c *crew) silent(d time.Duration) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, last := range c.heard {
		if time.Since(time.Unix(last.Load(), 0)) > d {
			n++
		}
	}
	return n
}

func (c *crew) drops() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.dropped)
}

func (c *crew) stop() {
	c.stopped.Store(true)
	c.mu.Lock()
	for conn := range c.heard {
		conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// TestThousandsOfStreams: 5,000 WebSockets and 5,000 event streams of 100 people through
// 10 renewals of each (a tenth of all that unless the tests run full): none is dropped.
// What a connection costs in memory is told.
func TestThousandsOfStreams(t *testing.T) {
	t.Parallel()
	people, each, renewals := 20, 25, 3
	if full() {
		people, each, renewals = 100, 50, 10
	}
	sockets, streams := newTickingApp(t)
	port := freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 6, nil)
	g := newGateway(t, port, "limits: { connections_per_address: 0 }\n"+panvaConfig(p.url, sockets, "", fmt.Sprintf(`  - { match: { path: /events }, upstream: { targets: [%q], protocol: h2c } }
`, streams)), map[string]string{"secret": "secret of evergate, with a space"})
	c := &crew{t: t, address: "127.0.0.1:" + port, heard: map[net.Conn]*atomic.Int64{}}
	t.Cleanup(c.stop)
	home, err := url.Parse(g.url)
	if err != nil {
		t.Fatal(err)
	}
	cookies := make([]string, people)
	for i := range people {
		who := newPerson(t)
		who.signIn(g.url+"/", alice)
		for _, cookie := range who.c.Jar.Cookies(home) {
			cookies[i] += cookie.Name + "=" + cookie.Value + "; "
		}
	}
	before, _ := g.memory(t)
	grants := p.stats(t).Grants["refresh_token"]
	for i := range each {
		for _, cookie := range cookies {
			c.wg.Go(func() {
				c.hold("/socket", cookie, "101", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: "+g.url+"\r\n")
			})
			c.wg.Go(func() { c.hold("/events", cookie, "200") })
		}
		await(t, "they are open", func() bool { return int(c.open.Load()) >= 2*(i+1)*people || c.drops() > 0 })
	}
	total := 2 * each * people
	opened, _ := g.memory(t)
	for end := time.Now().Add(5 * time.Minute); p.stats(t).Grants["refresh_token"]-grants < renewals*people && time.Now().Before(end); {
		time.Sleep(time.Second)
	}
	stats := p.stats(t)
	after, most := g.memory(t)
	c.mu.Lock()
	for i, why := range c.dropped {
		if i < 10 {
			t.Error(why)
		}
	}
	dropped := len(c.dropped)
	c.mu.Unlock()
	if n := c.silent(30 * time.Second); dropped > 0 || n > 0 || int(c.open.Load()) != total {
		t.Errorf("%d of %d were dropped, on %d nothing comes any more", dropped, total, n)
	}
	if n := stats.Grants["refresh_token"] - grants; n < renewals*people || stats.Revoked > 0 || len(stats.Errors) > 0 {
		t.Errorf("got %d renewals, %+v, want %d of each of %d people", n, stats, renewals, people)
	}
	t.Logf("%d WebSockets and %d event streams of %d people, %d renewals: %d dropped. Memory of its own: %d KiB before, %d KiB once open (%.1f KiB each), %d KiB at the end, resident %d KiB at most",
		total/2, total/2, people, stats.Grants["refresh_token"]-grants, dropped, before, opened, float64(opened-before)/float64(total), after, most)
}
