package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// TestNginxBelowAPrefix: a server that nobody here wrote, which redirects to absolute
// addresses of its own making: the Host that it was sent, its own scheme and port.
func TestNginxBelowAPrefix(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx" // where Debian has it, outside of most people's PATH
	}
	if _, err := os.Stat(nginx); err != nil {
		const why = "nginx is not installed, so its redirects are not looked at; apt-get install nginx-light"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip("SKIPPED: " + why)
	}
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	conf := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1;
events {}
http {
  access_log off; root %[1]s/www;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s; location = /app/old { return 301 /app/docs/; } }
}`, dir, addr)
	for name, text := range map[string]string{"nginx.conf": conf, "www/docs/index.html": "docs at the root", "www/app/docs/index.html": "docs below /app"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // its workers are somebody else
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	until(t, "nginx listens", func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	open := auth.Policy{Public: true}
	for _, o := range []proxy.UpstreamOptions{{}, {TargetHost: true}, {Host: "inside.test"}} {
		o.Target = "http://" + addr
		way := newWay(t, o)
		gw := newGateway(t, &proxy.Gate{Router: newRouter(t,
			&proxy.Route{Path: "/w/", Rewrite: proxy.Rewrite{StripPrefix: "/w"}, Upstream: way, Policy: open},
			&proxy.Route{Path: "/b/", Rewrite: proxy.Rewrite{StripPrefix: "/b", AddPrefix: "/app"}, Upstream: way, Policy: open})})
		client := &http.Client{Transport: downgrade{}}
		for from, want := range map[string][2]string{
			"/w/docs": {"/w/docs/", "docs at the root"}, "/b/docs": {"/b/docs/", "docs below /app"}, "/b/old": {"/b/docs/", "docs below /app"},
		} {
			res, err := client.Get(gw.URL + from)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if got := res.Request.URL; got.Path != want[0] || "http://"+got.Host != gw.URL || string(body) != want[1] {
				t.Errorf("%s with Host %q: got %s, %q, want %s, %q", from, o.Host, got, body, want[0], want[1])
			}
		}
	}
}
