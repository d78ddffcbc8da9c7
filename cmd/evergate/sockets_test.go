//go:build unix

package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// hand opens ports and hands them to the gateway as systemd does, whose process id
// has to be the gateway's: a shell becomes it.
func (g *frontGate) hand(names string, ports ...string) {
	g.Helper()
	var files []*os.File
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			g.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			g.Fatal(err)
		}
		l.Close()
		files = append(files, f)
		defer f.Close()
	}
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, g.bin, g.dir+"/evergate.yaml")
	cmd.ExtraFiles = files
	g.run(cmd, "LISTEN_FDS="+string(rune('0'+len(ports))), "LISTEN_FDNAMES="+names)
}

// elsewhere is a config whose own addresses are taken, so that only sockets that are
// handed over can work.
func elsewhere(t *testing.T) string {
	t.Helper()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	return taken.Addr().String()
}

func TestSocketsOfTheServiceManager(t *testing.T) {
	t.Parallel()
	bin := evergateBinary(t)
	for _, c := range []struct {
		name, names string
		ports       func(g *frontGate) []string
	}{
		{"by name", "admin:public", func(g *frontGate) []string { return []string{g.admin, g.port} }},
		{"in order", "evergate.socket:evergate.socket", func(g *frontGate) []string { return []string{g.port, g.admin} }},
		{"the public one alone", "public", func(g *frontGate) []string { return []string{g.port} }},
		{"one without a name", "", func(g *frontGate) []string { return []string{g.port} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newFrontGate(t, bin)
			ports := c.ports(g)
			g.configure("public_url: http://localhost:$PORT\n")
			text, err := os.ReadFile(g.dir + "/evergate.yaml")
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), "listen: 127.0.0.1:"+g.port, "listen: "+elsewhere(t), 1)
			if len(ports) > 1 {
				changed = strings.Replace(changed, `"127.0.0.1:`+g.admin+`"`, `"`+elsewhere(t)+`"`, 1)
			}
			g.file("evergate.yaml", []byte(changed))
			g.hand(c.names, ports...)
			// The socket is open before the gateway is: nobody is turned away meanwhile.
			if res, body := g.do(g.client(), request("GET", "http://localhost:"+g.port)); res.StatusCode != 200 {
				t.Errorf("got %d, %s, want the app", res.StatusCode, body)
			}
			if !strings.HasPrefix(g.ready(), `{"ready":true`) {
				t.Errorf("the admin listener: got %q, want ready", g.ready())
			}
		})
	}
}

func TestSocketsThatAreNotMeant(t *testing.T) {
	t.Parallel()
	bin := evergateBinary(t)
	for _, c := range []struct {
		name, names string
		n           int
		want        string
	}{
		{"an unknown name", "public:metrics", 2, `handed over a socket called "metrics"`},
		{"two of one name", "public:public", 2, `two sockets called "public"`},
		{"too many", "", 5, "want FileDescriptorName=public, admin, redirect, forward-auth"},
		{"a forward_auth that is not set", "public:admin:forward-auth", 3, "a socket for forward_auth.listen, which is not set"},
		{"a redirect that is not set", "public:admin:redirect", 3, "a socket for tls.redirect_http, which is not set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newFrontGate(t, bin)
			g.configure("public_url: http://localhost:$PORT\n")
			var ports []string
			for range c.n {
				port, err := freePort()
				if err != nil {
					t.Fatal(err)
				}
				ports = append(ports, port)
			}
			g.hand(c.names, ports...)
			if err := g.cmd.Wait(); err == nil || !strings.Contains(g.out.String(), c.want) {
				t.Errorf("got %v, %s, want %s", err, &g.out, c.want)
			}
		})
	}
}

// TestSystemdSocketActivate starts the gateway by systemd's own program, at the
// first connection.
func TestSystemdSocketActivate(t *testing.T) {
	t.Parallel()
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		const why = "systemd-socket-activate is not installed, so sockets are handed over by a shell alone; apt-get install systemd"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip("SKIPPED: " + why)
	}
	g := newFrontGate(t, evergateBinary(t))
	g.configure("public_url: http://localhost:$PORT\n")
	g.start(activate, "--listen=127.0.0.1:"+g.port, "--listen=127.0.0.1:"+g.admin, "--fdname=public:admin")
	var res *http.Response
	g.await("an answer", func() bool {
		if res, err = http.Get("http://localhost:" + g.port); err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	if res.StatusCode != 200 || !strings.HasPrefix(g.ready(), `{"ready":true`) {
		t.Errorf("got %d and %q, want the app and ready", res.StatusCode, g.ready())
	}
	start := time.Now()
	if err := g.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Wait(); err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("it ended with %v after %v, want exit code 0 soon", err, time.Since(start))
	}
}
