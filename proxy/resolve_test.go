package proxy_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

// nameServer is a DNS server that knows one address for every name.
type nameServer struct {
	address atomic.Pointer[netip.Addr] // nil: it answers SERVFAIL
	asked   atomic.Int64
}

func newNameServer(t *testing.T, address string) (*nameServer, *net.Resolver) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no loopback UDP: %v", err)
	}
	s := &nameServer{}
	s.point(address)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(s.answer(buf[:n]), from)
		}
	}()
	t.Cleanup(func() { conn.Close(); <-ended })
	return s, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (s *nameServer) point(address string) {
	if address == "" {
		s.address.Store(nil)
		return
	}
	a := netip.MustParseAddr(address)
	s.address.Store(&a)
}

// answer makes an answer of a query with one question (RFC 1035 section 4.1).
func (s *nameServer) answer(query []byte) []byte {
	s.asked.Add(1)
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5
	kind := binary.BigEndian.Uint16(query[end-4:])
	address := s.address.Load()
	out := append([]byte(nil), query[:end]...)
	clear(out[6:12])
	out[2], out[3] = 0x85, 0x80
	if address == nil {
		out[3] |= 2
		return out
	}
	if kind == 1 {
		out[7] = 1
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4)
		out = append(out, address.AsSlice()...)
	}
	return out
}

func TestMovedNamesAreNoticed(t *testing.T) {
	next := make(chan struct{})
	var old *app
	old = newApp(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, old.addr)
		for range 2 {
			if r.URL.Path == "/stream" {
				_ = http.NewResponseController(w).Flush()
				<-next
				fmt.Fprint(w, ".")
			}
		}
	})
	_, port, err := net.SplitHostPort(old.addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skipf("there is no second loopback address here: %v", err)
	}
	moved := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "moved") })}
	go func() { _ = moved.Serve(l) }()
	defer moved.Close()

	names, resolver := newNameServer(t, "127.0.0.1")
	log := &logs{}
	way := newWay(t, proxy.UpstreamOptions{Target: "http://app.test:" + port, Resolver: resolver, Log: textLog(log)})
	way.ResolveEvery(20 * time.Millisecond)
	way.Start()
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: way})})
	where := func() string { return gw.fetch(t, "GET", "/", nil).body }

	long := make(chan answer, 1)
	go func() { long <- gw.fetch(t, "GET", "/stream", nil) }()
	next <- struct{}{}
	if got := where(); got != old.addr { // on a second connection, which is idle from now on
		t.Fatalf("got %q, want the first address", got)
	}
	seen := names.asked.Load()
	until(t, "the name is looked up again", func() bool { return names.asked.Load() > seen+4 })
	names.point("") // an outage of DNS is no move
	seen = names.asked.Load()
	until(t, "the name is looked up again", func() bool { return names.asked.Load() > seen+4 })
	if got := where(); got != old.addr {
		t.Errorf("got %q while names cannot be looked up, want the connection that there is", got)
	}
	names.point("127.0.0.2") // and the old one still answers
	until(t, "requests go to the new address", func() bool { return where() == "moved" })
	if n := strings.Count(log.String(), "means other addresses now"); n != 1 {
		t.Errorf("got %d lines of it in the log, want one:\n%s", n, log)
	}
	next <- struct{}{}
	if got := <-long; got.body != old.addr+".." || got.err != nil {
		t.Errorf("what was under way ended as %q, %v", got.body, got.err)
	}
	way.Close()
	seen = names.asked.Load()
	time.Sleep(100 * time.Millisecond)
	if got := names.asked.Load(); got != seen {
		t.Error("names are looked up after Close")
	}
}
