package proxy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/evergate/evergate/proxy"
)

// restarts is an HTTP/2 server that restarts: it answers the first request, says at so many
// more, each on a connection of its own, as Apache does, that it takes all those on their way
// and no others, and closes.
type restarts struct {
	times int
	l     net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex // guards seen
	seen  []string   // the methods of requests
}

func newRestarts(t *testing.T, times int) *restarts {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &restarts{times: times, l: l}
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); s.wg.Wait() })
	return s
}

func (s *restarts) serve(conn net.Conn) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		h, ok := frame.(*http2.MetaHeadersFrame)
		if !ok {
			continue
		}
		s.mu.Lock()
		s.seen = append(s.seen, h.PseudoValue("method"))
		n := len(s.seen)
		s.mu.Unlock()
		if n > 1 && n <= 1+s.times {
			_ = f.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
			return
		}
		var block bytes.Buffer
		_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	}
}

// TestServerThatRestarts: what was on its way when a server closed its connection, as
// it said that it would, is sent to it again, where twice is once.
func TestServerThatRestarts(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		times        int
		status, seen int
	}{
		{"a GET", "GET", 1, 204, 2},
		{"a DELETE", "DELETE", 1, 204, 2},
		{"a POST may be done", "POST", 1, 502, 1},
		{"three times in a row", "GET", 3, 204, 4},
		{"for ever", "GET", 100, 502, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newRestarts(t, tt.times)
			gw, _, log := pool(t, alice(nil), proxy.UpstreamOptions{Target: "http://" + s.l.Addr().String(), Protocol: proxy.H2C})
			if res := gw.fetch(t, "GET", "/", nil); res.StatusCode != http.StatusNoContent {
				t.Fatalf("the first: got %d\n%s", res.StatusCode, log)
			}
			if res := gw.fetch(t, tt.method, "/", nil); res.StatusCode != tt.status {
				t.Errorf("got %d, want %d\n%s", res.StatusCode, tt.status, log)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if want := append([]string{"GET"}, slices.Repeat([]string{tt.method}, tt.seen)...); !slices.Equal(s.seen, want) {
				t.Errorf("the server got %v, want %v", s.seen, want)
			}
		})
	}
}
