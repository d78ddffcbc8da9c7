package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// TestDashboardRoute: the handler gets the path below the route's and the person; the rules
// were asked before, and a Gate without a handler has nothing there.
func TestDashboardRoute(t *testing.T) {
	route := func() *proxy.Route {
		return &proxy.Route{Path: "/caf%c3%a9/", Answer: proxy.Dashboard{}, Policy: auth.Policy{Allow: []*auth.Rule{{Groups: []string{"staff"}}}}}
	}
	show := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s?%s by %s", r.Method, r.URL.Path, r.URL.RawQuery, auth.FromContext(r.Context()).Identity.User)
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, route()), Dashboard: show})
	for path, want := range map[string]string{"/caf%C3%A9/": "GET /? by alice", "/caf%C3%A9/sessions?user=a": "GET /sessions?user=a by alice", "/caf%c3%a9/a/b": "GET /a/b? by alice"} {
		got := gw.fetch(t, "GET", path, nil)
		if got.StatusCode != 200 || got.body != want || got.Header.Get("Cache-Control") == "" {
			t.Errorf("%s: got %d %q %v, want %q, and kept by no cache", path, got.StatusCode, got.body, got.Header, want)
		}
	}
	bare := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, route())})
	if got := bare.fetch(t, "GET", "/caf%C3%A9/", nil); got.StatusCode != 404 {
		t.Errorf("without a dashboard: got %d, want 404", got.StatusCode)
	}
	for key, r := range map[string]*proxy.Route{
		"match.path": {Path: "/x", Answer: proxy.Dashboard{}},
		"public":     {Path: "/x/", Answer: proxy.Dashboard{}, Policy: auth.Policy{Public: true}},
	} {
		if _, err := proxy.NewRouter([]*proxy.Route{r}); err == nil || !strings.Contains(err.Error(), "routes[0]."+key) {
			t.Errorf("%s: got %v, want it refused", key, err)
		}
	}
}

// TestDashboardStreamEndsWithTheGateway, and with nothing left of it.
func TestDashboardStreamEndsWithTheGateway(t *testing.T) {
	var streams proxy.Streams
	ended := make(chan bool, 1)
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: 1\n\n"))
		_ = http.NewResponseController(w).Flush()
		streams.End()
		<-r.Context().Done()
		ended <- true
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Path: "/d/", Answer: proxy.Dashboard{}}), Dashboard: stream, Streams: &streams})
	gw.fetch(t, "GET", "/d/events", nil)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the stream goes on")
	}
}
