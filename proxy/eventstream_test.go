package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

// TestEventStreamAsReverseProxyCarriesIt: what the gateway carries in its place comes out
// the same, piece by piece.
func TestEventStreamAsReverseProxyCarriesIt(t *testing.T) {
	long := strings.Repeat("many words, ", 10_000)
	next := make(chan struct{}, 1)
	ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	wait := func() {
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
	gw := serve(t, alice(nil), proxy.Route{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Add("X-Twice", "one")
		w.Header().Add("X-Twice", "two")
		if r.URL.Path == "/announced" {
			w.Header().Set("Trailer", "X-Sum")
		}
		w.WriteHeader(http.StatusAccepted)
		_ = http.NewResponseController(w).Flush()
		wait() // the header is there before the first event is
		for _, event := range []string{"short", long} {
			_, _ = io.WriteString(w, "data: "+event+"\n\n")
			_ = http.NewResponseController(w).Flush()
			wait()
		}
		w.Header().Set("X-Sum", "17")
		w.Header().Set(http.TrailerPrefix+"X-Late", "18")
	})
	for path, want := range map[string]http.Header{"/announced": {"X-Sum": {"17"}, "X-Late": {"18"}}, "/none": {"X-Late": {"18"}}} {
		req := gw.request(t, "GET", path, nil)
		req = req.WithContext(ctx)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusAccepted || len(res.Header["X-Twice"]) != 2 || len(res.Header["X-Request-Id"]) != 1 {
			t.Errorf("got %d and %v", res.StatusCode, res.Header)
		}
		in := bufio.NewReader(res.Body)
		for _, event := range []string{"short", long} {
			next <- struct{}{}
			got, err := in.ReadString('\n')
			if err != nil || got != "data: "+event+"\n" {
				t.Fatalf("%s: got %.40q of %d bytes and %v, want %.40q of %d", path, got, len(got), err, event, len(event))
			}
			_, _ = in.ReadString('\n')
		}
		next <- struct{}{}
		if rest, err := io.ReadAll(in); len(rest) != 0 || err != nil {
			t.Errorf("%s: at the end: got %q and %v", path, rest, err)
		}
		for name := range want {
			if got := res.Trailer.Get(name); got != want.Get(name) {
				t.Errorf("%s: trailer %s: got %q, want %q", path, name, got, want.Get(name))
			}
		}
	}
}

// TestBrokenEventStream: half a stream does not pass for a whole one, and the log says
// whose doing that was.
func TestBrokenEventStream(t *testing.T) {
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: hi\n\r\n20\r\ndata: ha")
		_ = conn.Close()
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	res, err := http.DefaultClient.Do(gw.request(t, "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if string(got) != "data: hi\ndata: ha" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q and %v, want what there was and an unexpected end", got, err)
	}
}
