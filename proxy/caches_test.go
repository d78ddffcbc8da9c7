package proxy_test

import (
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestPublicAddressesAreToldApart: what nobody in particular gets at a public address may be
// kept, though not for whoever is signed in and gets an answer of their own there.
func TestPublicAddressesAreToldApart(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 200 OK\nContent-Length: 0\nCache-Control: public, max-age=60\nX-Accel-Expires: 3600\n\n"))
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Path: "/app", Policy: public, Upstream: way},
		&proxy.Route{Path: "/tokens", Policy: public, Upstream: way, Bearer: true},
		&proxy.Route{Path: "/mine", Policy: public, Upstream: way, AnswerHeaders: proxy.Headers{Remove: []string{"Vary"}}},
		&proxy.Route{Path: "/fixed", Policy: public, Answer: &proxy.Respond{Body: "ok"}, AnswerHeaders: proxy.Headers{Set: map[string]string{"X-Route": "{route.name}"}}},
		&proxy.Route{Path: "/named", Policy: public, Answer: &proxy.Respond{Body: "ok"}, AnswerHeaders: proxy.Headers{Set: map[string]string{"X-Who": "{user}"}}})})
	for _, tt := range []struct{ path, nobody, somebody, vary string }{
		{"/app", "public, max-age=60", "private, max-age=60", "Cookie"},
		{"/tokens", "public, max-age=60", "private, max-age=60", "Cookie, Authorization"},
		{"/mine", "public, max-age=60", "private, max-age=60", ""},
		{"/fixed", "no-cache", "no-cache", ""},
		{"/named", "no-cache", "private, no-cache", "Cookie"},
	} {
		for _, one := range []struct{ request, want string }{{request("GET", tt.path), tt.nobody}, {get(tt.path), tt.somebody}} {
			res := gw.send(t, one.request)
			if got := res.Header.Get("Cache-Control"); got != one.want {
				t.Errorf("%s: got Cache-Control %q, want %q", tt.path, got, one.want)
			}
			if got := strings.Join(res.Header["Vary"], ", "); got != tt.vary {
				t.Errorf("%s: got Vary %q, want %q", tt.path, got, tt.vary)
			}
		}
	}
}
