package proxy_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

func outOfOrder(way *proxy.Upstream) (n int) {
	for _, s := range way.States() {
		if s.Err != nil {
			n++
		}
	}
	return n
}

// TestWhatAClientSpoilsIsNotHeldAgainstTargets: a trailer that can be sent to nobody.
func TestWhatAClientSpoilsIsNotHeldAgainstTargets(t *testing.T) {
	apps := []*app{newApp(t, nil), newApp(t, nil), newApp(t, nil)}
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(apps...), Retries: 1, EjectAfter: 5})
	for range 8 {
		gw.send(t, "POST / HTTP/1.1\nHost: gw.test\nCookie: "+sid+"=alice\nTransfer-Encoding: chunked\nTrailer: a b\nConnection: close\n\n0\n\n")
	}
	if outOfOrder(way) > 0 {
		t.Error("targets that never saw a request are ejected for it")
	}
}

// TestHeadersTooLongForTargetsAreNotHeldAgainstThem, which said so beforehand.
func TestHeadersTooLongForTargetsAreNotHeldAgainstThem(t *testing.T) {
	mk := func() *app {
		a := newApp(t, nil)
		a.kill()
		l, err := net.Listen("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: a.handler, MaxHeaderBytes: 8 << 10, Protocols: &http.Protocols{}}
		s.Protocols.SetUnencryptedHTTP2(true)
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		return a
	}
	apps := []*app{mk(), mk()}
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(apps...), Retries: 1, EjectAfter: 5, Protocol: proxy.H2C})
	for range 4 {
		gw.fetch(t, "GET", "/", nil)
	}
	for range 8 {
		gw.fetch(t, "GET", "/", nil, "Big", strings.Repeat("x", 20<<10))
	}
	if outOfOrder(way) > 0 {
		t.Error("a client's long header ejected targets")
	}
}
