package door_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

// raw is an HTTP/2 client that does as it likes.
type raw struct {
	*testing.T
	conn    *tls.Conn
	framer  *http2.Framer
	block   []byte // the header of a GET
	streams uint32 // that the server allows
	next    uint32
	ended   chan error // why the server ended the connection
}

func newRaw(t *testing.T, a *authority, address string) *raw {
	t.Helper()
	conn, err := tls.Dial("tcp", address, a.client("h2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c := &raw{T: t, conn: conn, framer: http2.NewFramer(conn, conn), next: 1, ended: make(chan error, 1)}
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	f, err := c.framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := f.(*http2.SettingsFrame); ok {
		c.streams, _ = s.Value(http2.SettingMaxConcurrentStreams)
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "GET"}, {":path", "/flood"}, {":scheme", "https"}, {":authority", "gate.example"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	c.block = block.Bytes()
	go func() {
		for {
			f, err := c.framer.ReadFrame()
			if err != nil {
				c.ended <- err
				return
			}
			if g, ok := f.(*http2.GoAwayFrame); ok {
				c.ended <- errors.New(g.ErrCode.String())
				return
			}
		}
	}()
	return c
}

// bystander asks for an answer 20 times while something goes on, and says how long
// the slowest took.
func bystander(t *testing.T, a *authority, address string) time.Duration {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: a.client("h2", "http/1.1")}}
	defer client.CloseIdleConnections()
	var slowest time.Duration
	for range 20 {
		start := time.Now()
		res, err := client.Get("https://" + address + "/")
		if err != nil {
			t.Fatalf("beside a flood: %v", err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		slowest = max(slowest, time.Since(start))
		time.Sleep(10 * time.Millisecond)
	}
	return slowest
}

// TestRapidReset (D-11, CVE-2023-39325): requests that are reset as soon as they are sent do not
// become more work at a time than the limit, the connection is ended, and others are
// served meanwhile.
func TestRapidReset(t *testing.T) {
	const streams = 10
	a := newAuthority(t)
	var at, most atomic.Int64
	s := serve(t, door.Options{Certificates: files(t, a), Limits: door.Limits{Streams: streams}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/flood" {
			return
		}
		n := at.Add(1)
		defer at.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(20 * time.Millisecond) // an app goes on for a while after its client has gone
	})})
	c := newRaw(t, a, s.front)
	if c.streams != streams {
		t.Errorf("the server allows %d streams, want %d", c.streams, streams)
	}
	var sent int
	var wg sync.WaitGroup
	wg.Go(func() {
		for ; sent < 1_000_000; sent++ {
			if c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.next, BlockFragment: c.block, EndStream: true, EndHeaders: true}) != nil ||
				c.framer.WriteRSTStream(c.next, http2.ErrCodeCancel) != nil {
				return
			}
			c.next += 2
		}
	})
	slowest := bystander(t, a, s.front)
	select {
	case err := <-c.ended:
		wg.Wait()
		t.Logf("ended by %v after %d requests; a bystander's slowest answer took %v", err, sent, slowest)
	case <-time.After(10 * time.Second):
		t.Error("the flood is not ended")
		c.conn.Close()
		wg.Wait()
	}
	if got := most.Load(); got > streams {
		t.Errorf("%d requests of one connection were served at a time, want %d", got, streams)
	}
	if slowest > 3*time.Second {
		t.Errorf("a bystander waited %v", slowest)
	}
}

// TestContinuationFlood (D-11, CVE-2023-45288): a header without end is not read for ever.
func TestContinuationFlood(t *testing.T) {
	a := newAuthority(t)
	s := serve(t, door.Options{Certificates: files(t, a)})
	c := newRaw(t, a, s.front)
	// Each field is a new one, so that a table of headers does not make them short.
	var sent int
	var wg sync.WaitGroup
	wg.Go(func() {
		if c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.block, EndStream: true}) != nil {
			return
		}
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		_ = enc.WriteField(hpack.HeaderField{Name: "x-filler", Value: string(bytes.Repeat([]byte("a"), 8000)), Sensitive: true})
		for ; sent < 100_000; sent++ {
			if c.framer.WriteContinuation(1, false, block.Bytes()) != nil {
				return
			}
		}
	})
	slowest := bystander(t, a, s.front)
	select {
	case err := <-c.ended:
		wg.Wait()
		t.Logf("ended by %v after %d frames; a bystander's slowest answer took %v", err, sent, slowest)
	case <-time.After(10 * time.Second):
		t.Error("the flood is not ended")
		c.conn.Close()
		wg.Wait()
	}
	if slowest > 3*time.Second {
		t.Errorf("a bystander waited %v", slowest)
	}
}

// TestHTTP2AndHTTP1: both are offered over TLS.
func TestHTTP2AndHTTP1(t *testing.T) {
	a := newAuthority(t)
	s := serve(t, door.Options{Certificates: files(t, a)})
	for _, c := range []struct {
		offer []string
		want  string
	}{{[]string{"h2", "http/1.1"}, "h2"}, {[]string{"http/1.1"}, "http/1.1"}, {nil, ""}} {
		conn, err := tls.Dial("tcp", s.front, a.client(c.offer...))
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != c.want {
			t.Errorf("offered %v: got %q, want %q", c.offer, got, c.want)
		}
		conn.Close()
	}
	old := a.client()
	old.MaxVersion = tls.VersionTLS11
	if conn, err := tls.Dial("tcp", s.front, old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
}
