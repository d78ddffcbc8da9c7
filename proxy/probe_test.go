package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestProbe: a target is asked the way requests go to it, and for nobody.
func TestProbe(t *testing.T) {
	well := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "app.example" || r.URL.Path != "/base/" || r.UserAgent() != "evergate-doctor" || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(secure.Close)
	up, err := proxy.NewUpstream(proxy.UpstreamOptions{Host: "app.example", Targets: []proxy.TargetOptions{
		{URL: well.url() + "/base"}, {URL: "http://127.0.0.1:1"}, {URL: secure.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	got := up.Probe(t.Context(), "/")
	if got[0].Err != nil || got[0].Status != 200 || got[0].Took <= 0 || got[0].Target != well.url()+"/base" {
		t.Errorf("one that is well: got %+v", got[0])
	}
	if got[1].Err == nil || !strings.Contains(got[1].Err.Error(), "refused") {
		t.Errorf("nobody there: got %+v", got[1])
	}
	if got[2].Err == nil || !strings.Contains(got[2].Err.Error(), "certificate") {
		t.Errorf("an unknown authority: got %+v", got[2])
	}
}
