package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestReplacedErrors: a person gets the gateway's page in place of the app's, for the
// statuses that the route names; a script gets what the app said.
func TestReplacedErrors(t *testing.T) {
	const person = "Sec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"
	for _, tt := range []struct {
		name     string
		status   int
		kind     string
		lines    string
		replaced bool
	}{
		{"a person", 503, "text/html", person, true},
		{"a person with an older browser", 502, "text/html", "Accept: text/html", true},
		{"a frame", 503, "text/html", "Sec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe", true},
		{"a script", 503, "application/json", "Sec-Fetch-Mode: cors\nSec-Fetch-Dest: empty", false},
		{"an image", 503, "text/html", "Sec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image", false},
		{"curl", 503, "text/html", "Accept: */*", false},
		{"another status", 500, "text/html", person, false},
		{"no error", 200, "text/html", person, false},
		{"a client's mistake", 404, "text/html", person, false},
		{"gRPC, whatever it accepts", 503, "application/grpc", "Accept: text/html", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := newUpstream(t, says(fmt.Sprintf("HTTP/1.1 %d X\nContent-Type: %s\nRetry-After: 17\nSet-Cookie: app=1\nEtag: \"x\"\nContent-Encoding: x-own\nContent-Length: 9\n\napp speak", tt.status, tt.kind)))
			s := newSession()
			s.due = fresh
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr}),
				ReplaceErrors: []int{502, 503}})})
			res := gw.send(t, get("/a?b", tt.lines))
			if res.StatusCode != tt.status || res.Header.Get("Retry-After") != "17" {
				t.Errorf("got %s, want the status and Retry-After of the app", res.raw)
			}
			if got := res.Header.Values("Set-Cookie"); got[len(got)-1] != fresh {
				t.Errorf("got %v, want the cookie that is due", got)
			}
			if !tt.replaced {
				if res.body != "app speak" || res.Header.Get("Content-Encoding") != "x-own" {
					t.Errorf("got %s, want what the app said", res.raw)
				}
				return
			}
			if strings.Contains(res.raw, "app speak") || !strings.Contains(res.body, "REQUEST-ID") || !strings.Contains(res.body, `href="/a?b"`) ||
				strings.Contains(res.raw, "app=1") || res.Header.Get("Etag") != "" || res.Header.Get("Content-Encoding") != "" {
				t.Errorf("got %s, want the gateway's page and nothing of the app's", res.raw)
			}
			if err := gw.note(t).Err; err == nil || !strings.Contains(err.Error(), fmt.Sprintf("upstream answered %d", tt.status)) {
				t.Errorf("the access line says %v", err)
			}
		})
	}
	if _, err := proxy.NewRouter([]*proxy.Route{{ReplaceErrors: []int{404}}}); err == nil || !strings.Contains(err.Error(), "routes[0].replace_errors[0]: want 500 to 599, got 404") {
		t.Errorf("got %v", err)
	}
}
