package proxy_test

import (
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestSilentAnswersOnPublicRoutes: where the app says nothing of caches, they keep what nobody in
// particular got, and not what somebody did who is signed in.
func TestSilentAnswersOnPublicRoutes(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 200 OK\nContent-Length: 0\nLast-Modified: Mon, 02 Jan 2006 15:04:05 GMT\n\n"))
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Path: "/app", Policy: public, Upstream: way},
		&proxy.Route{Path: "/said", Policy: public, Upstream: way, AnswerHeaders: proxy.Headers{Set: map[string]string{"Cache-Control": "max-age=60"}}},
		&proxy.Route{Path: "/fixed", Policy: public, Answer: &proxy.Respond{Body: "ok"}, AnswerHeaders: proxy.Headers{Set: map[string]string{"X-Route": "{route.name}"}}})})
	for _, tt := range []struct{ path, nobody, somebody string }{
		{"/app", "", "private"},
		{"/said", "max-age=60", "max-age=60"}, // by whoever runs the gateway
		{"/fixed", "no-cache", "no-cache"},
	} {
		for _, one := range []struct{ request, want string }{{request("GET", tt.path), tt.nobody}, {get(tt.path), tt.somebody}} {
			res := gw.send(t, one.request)
			if got := res.Header.Get("Cache-Control"); got != one.want {
				t.Errorf("%s: got Cache-Control %q, want %q", tt.path, got, one.want)
			}
		}
	}
}
