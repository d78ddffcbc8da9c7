package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// webServer is an nginx that says which protocol it was asked by, and its name.
type webServer struct {
	*process
	t                            *testing.T
	dir, port, h2c, secure, sock string
}

func newWebServer(t *testing.T, name string, certs *certificates) *webServer {
	t.Helper()
	need(t, "nginx", "nginx-light")
	s := &webServer{t: t, dir: t.TempDir(), port: freePort(t), h2c: freePort(t), secure: freePort(t)}
	s.sock = s.dir + "/sock"
	certs.write(t, s.dir)
	answer := fmt.Sprintf("location / { return 200 \"$server_protocol %s $ssl_client_verify\"; }\n    location /healthz { return 204; }", name)
	writeFile(t, s.dir, "nginx.conf", fmt.Sprintf(`daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 512; }
http {
  access_log off; keepalive_timeout 2s;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen 127.0.0.1:%s; listen unix:%s; %s }
  server { listen 127.0.0.1:%s http2; %s }
  server { listen 127.0.0.1:%s ssl http2; server_name localhost; ssl_certificate cert.pem; ssl_certificate_key key.pem;
    ssl_client_certificate ca.pem; ssl_verify_client on; %s }
}
`, s.port, s.sock, answer, s.h2c, answer, s.secure, answer))
	s.serve()
	return s
}

func (s *webServer) serve() {
	_ = os.Remove(s.sock) // which a server that was killed leaves behind
	s.process = start(s.t, s.dir, need(s.t, "nginx", "nginx-light"), "-p", s.dir, "-c", "nginx.conf", "-e", "stderr")
	s.awaitHTTP(s.t, "http://127.0.0.1:"+s.port+"/healthz")
}

// TestNginxBehindTheGateway by every way that there is to it.
func TestNginxBehindTheGateway(t *testing.T) {
	t.Parallel()
	certs := newCertificates(t)
	s := newWebServer(t, "one", certs)
	g := newSecureGateway(t, certs, fmt.Sprintf(`
identity: [ local: { users_file: users.yaml } ]
routes:
  - { public: true, match: { path: /http1 }, upstream: "http://127.0.0.1:%s" }
  - { public: true, match: { path: /h2c }, upstream: { targets: ["http://127.0.0.1:%s"], protocol: h2c } }
  - { public: true, match: { path: /unix }, upstream: "unix://%s" }
  - { public: true, match: { path: /tls }, upstream: { targets: ["https://127.0.0.1:%s"], tls: { ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem } } }
  - { public: true, match: { path: /tls1 }, upstream: { targets: ["https://127.0.0.1:%s"], protocol: http1, tls: { ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem, server_name: localhost } } }
  - { public: true, match: { path: /strange }, upstream: { targets: ["https://127.0.0.1:%s"] } }
`, s.port, s.h2c, s.sock, s.secure, s.secure, s.secure))
	for path, want := range map[string]string{"/http1": "HTTP/1.1 one ", "/h2c": "HTTP/2.0 one ", "/unix": "HTTP/1.1 one ",
		"/tls": "HTTP/2.0 one SUCCESS", "/tls1": "HTTP/1.1 one SUCCESS"} {
		res, err := g.client.Get(g.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != want || err != nil {
			t.Errorf("%s: got %d %q, %v, want %q", path, res.StatusCode, body, err, want)
		}
	}
	res, err := g.client.Get(g.url + "/strange")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 502 {
		t.Errorf("a certificate that nobody vouches for: got %d, want 502", res.StatusCode)
	}
	await(t, "a line says what to do", func() bool {
		return strings.Contains(g.stderr.String(), "name its authority in the upstream's tls.ca_file")
	})
}

// await waits for something to come true.
func await(t *testing.T, what string, true func() bool) {
	t.Helper()
	within(t, patience, what, true)
}

// TestServersDieUnderLoad: three nginx, one of which is killed and started again
// while people use them, and nobody's request fails.
func TestServersDieUnderLoad(t *testing.T) {
	t.Parallel()
	certs := newCertificates(t)
	servers := []*webServer{newWebServer(t, "one", certs), newWebServer(t, "two", certs), newWebServer(t, "three", certs)}
	g := newGateway(t, freePort(t), fmt.Sprintf(`identity: [ local: { users_file: users.yaml } ]
routes:
  - public: true
    upstream:
      targets: ["http://127.0.0.1:%s", "http://127.0.0.1:%s", "unix://%s"]
      health: { path: /healthz, interval: 1s, unhealthy_after: 2 }
      eject: { after: 3, for: 1s }
      slow_start: 1s
`, servers[0].port, servers[1].port, servers[2].sock), map[string]string{"users.yaml": "users: {}\n"})
	count, p := newTally(), newPerson(t)
	c := &crowd{people: map[string]*person{"": p}, counts: map[string]*tally{"": count}}
	t.Cleanup(c.leave)
	stop := make(chan struct{})
	c.stop = stop
	for range 20 {
		c.wg.Go(func() { c.use(p, g.url+"/", count, stop) })
	}
	shows := func(ok string) func() bool {
		return func() bool {
			res, err := http.Get(g.admin + "/readyz")
			if err != nil {
				return false
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			return strings.Contains(string(body), `"upstream http://127.0.0.1:`+servers[1].port+`":{"ok":`+ok)
		}
	}
	for range 2 {
		time.Sleep(time.Second)
		_ = servers[1].cmd.Process.Kill()
		<-servers[1].ended
		await(t, "the dead server is shown", shows("false"))
		time.Sleep(time.Second)
		servers[1].serve()
		await(t, "it is well again", shows("true"))
	}
	time.Sleep(2 * time.Second)
	c.leave()
	t.Logf("%v", count)
	for _, s := range servers[:2] {
		if want := `"upstream":"http://127.0.0.1:` + s.port + `"`; !strings.Contains(g.stderr.String(), want) {
			t.Errorf("the access lines do not say which target served: no %s", want)
		}
	}
	if n := count.others(served); n != 0 || count.of(served) < 500 {
		t.Errorf("%d requests were not served: %v", n, count)
	}
}
