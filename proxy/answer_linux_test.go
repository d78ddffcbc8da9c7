package proxy_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestStaticLeavesPipesAlone: opening one would wait for who writes it.
func TestStaticLeavesPipesAlone(t *testing.T) {
	dir := site(t, map[string]string{"index.html": "home"})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	gw := newGateway(t, &proxy.Gate{Router: newRouter(t, &proxy.Route{Policy: public, Answer: &proxy.Static{Dir: dir}})})
	if res := gw.send(t, request("GET", "/pipe")); res.StatusCode != 404 {
		t.Errorf("got %d, want 404", res.StatusCode)
	}
}
