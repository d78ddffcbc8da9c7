package proxy_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// TestWhatIsShownIsTheGateways: an answer tells what was decided where the gateway says
// so, once; an upstream's own word never gets through, in no part of an answer.
func TestWhatIsShownIsTheGateways(t *testing.T) {
	const own = "public; by=upstream"
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/breaks") {
			conn.Close()
			return
		}
		says("HTTP/1.1 103 Early Hints\nLink: </a.css>\nX-Evergate-Decision: "+own+"\n\n"+
			"HTTP/1.1 200 OK\nCache-Control: public, max-age=60\nX-Evergate-Decision: "+own+"\nx-evergate-decision: "+own+"\nTransfer-Encoding: chunked\nTrailer: X-Evergate-Decision\n\n"+
			"2\nok\n0\nX-Evergate-Decision: "+own+"\n\n")(conn, r)
	})
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for _, shows := range []bool{false, true} {
		gw := newGateway(t, &proxy.Gate{
			Auth: alice(nil),
			Router: newRouter(t, &proxy.Route{Upstream: way}, &proxy.Route{Path: "/public/", Policy: auth.Policy{Public: true}, Upstream: way},
				&proxy.Route{Path: "/own", Answer: &proxy.Respond{Body: "ok"}}, &proxy.Route{Path: "/no", Policy: auth.Policy{Allow: []*auth.Rule{}}, Upstream: way}),
			Decided: func(h http.Header, r *http.Request, d *proxy.Decision) {
				if shows {
					h[proxy.ShownHeader] = []string{d.Outcome + "; request=" + web.NoteOf(r.Context()).ID}
				}
			},
		})
		for path, want := range map[string]string{"/a": "200 allowed", "/public/a": "200 public", "/own": "200 allowed", "/no": "403 denied", "/breaks": "502 allowed"} {
			conn, err := net.Dial("tcp", gw.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: example.com\r\nCookie: %s=alice\r\nConnection: close\r\n\r\n", path, sid)
			var got []string
			br := bufio.NewReader(conn)
			res, err := http.ReadResponse(br, nil)
			for ; err == nil && res.StatusCode < 200; res, err = http.ReadResponse(br, nil) {
				got = append(got, res.Header[proxy.ShownHeader]...)
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if got != nil {
				t.Errorf("%s: a hint says %q", path, got)
			}
			body := make([]byte, 1<<10)
			for err == nil {
				_, err = res.Body.Read(body)
			}
			if res.Trailer.Get(proxy.ShownHeader) != "" {
				t.Errorf("%s: a trailer says %q", path, res.Trailer)
			}
			status, outcome, _ := strings.Cut(want, " ")
			values := res.Header[proxy.ShownHeader]
			if wanted := []string{outcome + "; request=REQUEST-ID"}; shows && !slices.Equal(values, wanted) || !shows && values != nil || fmt.Sprint(res.StatusCode) != status {
				t.Errorf("%s, shown %v: got %d and %q, want %s", path, shows, res.StatusCode, values, want)
			}
			if cache := res.Header.Get("Cache-Control"); path == "/public/a" && strings.Contains(cache, "private") != shows {
				t.Errorf("%s, shown %v: got Cache-Control %q", path, shows, cache)
			}
			conn.Close()
		}
	}
	if _, err := proxy.NewRouter([]*proxy.Route{{AnswerHeaders: proxy.Headers{Set: map[string]string{"X_Evergate_Decision": "x"}}, Answer: &proxy.Respond{Body: "ok"}}}); err == nil {
		t.Error("a route may set the header")
	}
}

// TestWhatIsObservedIsCompared: where both sets of rules were asked, and what became of
// the request is what the one says.
func TestWhatIsObservedIsCompared(t *testing.T) {
	for _, c := range []struct {
		what              string
		d                 proxy.Decision
		observes, differs bool
	}{
		{"nothing is observed", proxy.Decision{Outcome: proxy.Allowed}, false, false},
		{"the same", proxy.Decision{Outcome: proxy.Allowed, Observed: proxy.Allowed}, true, false},
		{"another", proxy.Decision{Outcome: proxy.Allowed, Observed: proxy.Denied}, true, true},
		{"nobody, and a sign-in either way", proxy.Decision{Outcome: proxy.SignIn, Observed: proxy.SignIn, Err: &auth.Absent{Reason: auth.NoCookie}}, true, false},
		{"a host that is handed the session", proxy.Decision{Outcome: proxy.SignIn, Observed: proxy.Allowed, Err: &auth.Absent{Reason: auth.Unconfirmed}}, false, false},
		{"a detour", proxy.Decision{Outcome: proxy.Detour, Observed: proxy.Allowed}, false, false},
		{"an outage", proxy.Decision{Outcome: proxy.Unavailable, Observed: proxy.SignIn}, false, false},
	} {
		if c.d.Observes() != c.observes || c.d.Differs() != c.differs {
			t.Errorf("%s: got %v and %v", c.what, c.d.Observes(), c.d.Differs())
		}
	}
}
