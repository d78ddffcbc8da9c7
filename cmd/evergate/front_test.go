//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
)

// frontGate is `evergate serve` with a front of its own, before an app that
// answers with what it hears of the client.
type frontGate struct {
	*testing.T
	dir, bin, port, admin, plain string
	app                          string
	env                          []string
	cmd                          *exec.Cmd
	out                          safeBuffer
}

type safeBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Reset()
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newFrontGate(t *testing.T, bin string) *frontGate {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "client=%s scheme=%s body=%d %v", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), n, err)
	}))
	t.Cleanup(app.Close)
	g := &frontGate{T: t, dir: t.TempDir(), bin: bin, app: app.URL}
	for _, to := range []*string{&g.port, &g.admin, &g.plain} {
		var err error
		if *to, err = freePort(); err != nil {
			t.Fatal(err)
		}
	}
	if err := config.SaveUsers(filepath.Join(g.dir, "users.yaml"), nil); err != nil {
		t.Fatal(err)
	}
	return g
}

// configure writes the config; $PORT, $ADMIN and $PLAIN in it are free ports.
func (g *frontGate) configure(text string) {
	g.Helper()
	text += `
listen: 127.0.0.1:$PORT
admin: { listen: "127.0.0.1:$ADMIN" }
log: { format: text }
identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { host: gate.example }, public: true, upstream: "` + g.app + `" }
  - { match: { host: localhost }, public: true, upstream: "` + g.app + `" }
`
	text = strings.NewReplacer("$PORT", g.port, "$ADMIN", g.admin, "$PLAIN", g.plain).Replace(text)
	if err := os.WriteFile(filepath.Join(g.dir, "evergate.yaml"), []byte(text), 0o600); err != nil {
		g.Fatal(err)
	}
}

// start runs the gateway until the test ends, by way of the words in front, and
// waits until it is ready.
func (g *frontGate) start(front ...string) {
	g.Helper()
	args := append(front, g.bin, "serve", "--config", filepath.Join(g.dir, "evergate.yaml"))
	g.run(exec.Command(args[0], args[1:]...), g.env...)
}

// run runs cmd until the test ends, with env besides the test's own.
func (g *frontGate) run(cmd *exec.Cmd, env ...string) {
	g.Helper()
	g.cmd = cmd
	g.cmd.Stderr = &g.out
	g.cmd.Env = append(os.Environ(), env...)
	if err := g.cmd.Start(); err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		_ = g.cmd.Wait()
		if g.Failed() {
			g.Logf("the gateway said:\n%s", &g.out)
		}
	})
}

func (g *frontGate) ready() string { return g.ask("/readyz") }

// ask gets a path of the admin listener.
func (g *frontGate) ask(path string) string {
	res, err := http.Get("http://127.0.0.1:" + g.admin + path)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

func (g *frontGate) await(what string, so func() bool) {
	g.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
	}
	g.Fatalf("not within 15 s: %s\n/readyz: %s", what, g.ready())
}

// certificate writes a pair for gate.example of which end is the end.
func (g *frontGate) certificate(serial int64, end time.Time) *x509.Certificate {
	g.Helper()
	cert, chain, key := g.pair(serial, end)
	g.file("tls.crt", chain)
	g.file("tls.key", key)
	return cert
}

// pair makes what certificate writes.
func (g *frontGate) pair(serial int64, end time.Time) (cert *x509.Certificate, chain, private []byte) {
	g.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"gate.example"}, NotBefore: end.Add(-90 * 24 * time.Hour), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		g.Fatal(err)
	}
	if private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		g.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		g.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func (g *frontGate) file(name string, content []byte) {
	g.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), content, 0o600); err != nil {
		g.Fatal(err)
	}
}

// client trusts any of certs, and finds gate.example here.
func (g *frontGate) client(certs ...*x509.Certificate) *http.Client {
	roots := x509.NewCertPool()
	for _, c := range certs {
		roots.AddCert(c)
	}
	c := &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				_, port, _ := net.SplitHostPort(address)
				return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
			}},
	}
	g.Cleanup(c.CloseIdleConnections)
	return c
}

func (g *frontGate) do(c *http.Client, req *http.Request) (*http.Response, string) {
	g.Helper()
	res, err := c.Do(req)
	if err != nil {
		g.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res, string(b)
}

func request(method, url string, headers ...string) *http.Request {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		panic(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return req
}

// manager is a service manager that listens to its service.
type manager struct {
	*testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) (*manager, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "evergate-notify-") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn}, "NOTIFY_SOCKET=" + path
}

func (m *manager) hears(want string) {
	m.Helper()
	buf := make([]byte, 4096)
	_ = m.conn.SetReadDeadline(time.Now().Add(15 * time.Second))
	n, err := m.conn.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
		m.Fatalf("the service manager hears %q, %v, want %s", buf[:n], err, want)
	}
}

// TestFront drives the real program: https from files that are replaced, HSTS, the
// redirect, and what a service manager hears from start to end.
func TestFront(t *testing.T) {
	t.Parallel()
	g := newFrontGate(t, evergateBinary(t))
	m, env := newManager(t)
	g.env = []string{env}
	first := g.certificate(1, time.Now().Add(60*24*time.Hour))
	g.configure(`
public_url: https://gate.example:$PORT
tls: { cert_file: tls.crt, key_file: tls.key, redirect_http: "127.0.0.1:$PLAIN", hsts: 365d }
limits: { headers: 30, request_timeout: 1s }
`)
	g.start()
	m.hears("READY=1")
	url := "https://gate.example:" + g.port
	c := g.client(first)
	res, body := g.do(c, request("GET", url))
	if res.StatusCode != 200 || res.ProtoMajor != 2 || body != "client=127.0.0.1 scheme=https body=0 <nil>" || res.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
		t.Errorf("got %d over %s, %s, %v", res.StatusCode, res.Proto, body, res.Header)
	}
	if !strings.Contains(g.ready(), `"certificate":{"ok":true}`) {
		t.Errorf("/readyz: got %s, want a good certificate", g.ready())
	}

	many := request("GET", url)
	for i := range 40 {
		many.Header.Set(fmt.Sprintf("X-N%d", i), "v")
	}
	if res, body := g.do(c, many); res.StatusCode != 431 {
		t.Errorf("40 headers: got %d, %s, want 431", res.StatusCode, body)
	}
	slow, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, "half") }()
	req := request("POST", url)
	req.Body = slow
	if res, body := g.do(c, req); res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("a body that does not come: got %d, %s, want 408", res.StatusCode, body)
	}

	// Over HTTP/1 it is told too.
	roots := x509.NewCertPool()
	roots.AddCert(first)
	conn, err := tls.Dial("tcp", "127.0.0.1:"+g.port, &tls.Config{ServerName: "gate.example", RootCAs: roots, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: gate.example\r\nContent-Length: 9\r\n\r\nhalf")
	late, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || late.StatusCode != http.StatusRequestTimeout {
		t.Errorf("half a body over HTTP/1: got %v, %v, want 408", late, err)
	}
	g.await("two lines that say so", func() bool { return strings.Count(g.out.String(), "status=408") == 2 })

	plain := g.client()
	if res, _ := g.do(plain, request("GET", "http://gate.example:"+g.plain+"/a?b")); res.StatusCode != 308 || res.Header.Get("Location") != url+"/a?b" || res.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("plain http: got %d, %v, want 308 to %s", res.StatusCode, res.Header, url+"/a?b")
	}
	if res, _ := g.do(plain, request("GET", "http://evil.example:"+g.plain+"/")); res.StatusCode != 421 {
		t.Errorf("plain http of a stranger's host: got %d, want 421", res.StatusCode)
	}

	// A pair that does not fit: told, and served on.
	second, chain, key := g.pair(2, time.Now().Add(10*24*time.Hour))
	g.file("tls.crt", chain)
	hangup := func() {
		t.Helper()
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		m.hears("RELOADING=1\nMONOTONIC_USEC=")
		m.hears("READY=1")
	}
	hangup()
	if !strings.Contains(g.ready(), "private key does not match public key") || !strings.HasPrefix(g.ready(), `{"ready":true`) {
		t.Errorf("/readyz: got %s, want what is wrong with the pair, and ready all the same", g.ready())
	}
	g.do(g.client(first), request("GET", url))

	// The right key: taken at once, and its near end is told.
	g.file("tls.key", key)
	hangup()
	g.do(g.client(second), request("GET", url))
	g.do(c, request("GET", url)) // on the connection of before
	if !strings.Contains(g.ready(), "in 9 days") {
		t.Errorf("/readyz: got %s, want the end of the certificate told there", g.ready())
	}
	g.await("the log tells of it", func() bool { return strings.Contains(g.out.String(), "event=tls.ending") })
	g.await("the metrics tell of it", func() bool {
		return strings.Contains(g.ask("/metrics"), `evergate_part_up{kind="certificate",name="certificate"} 0`)
	})

	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.hears("STOPPING=1")
	if err := g.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v, want exit code 0", err)
	}
}

// TestStallTimeout: half a body and nothing more, where a body as a whole has no bound.
func TestStallTimeout(t *testing.T) {
	t.Parallel()
	g := newFrontGate(t, evergateBinary(t))
	g.configure("public_url: http://localhost:$PORT\nlimits: { stall_timeout: 1s }\n")
	g.start()
	g.await("ready", func() bool { return g.ready() != "" })
	conn, err := net.Dial("tcp", "127.0.0.1:"+g.port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost:%s\r\nContent-Length: 9\r\n\r\nhalf", g.port)
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("got %v, %v, want 408", res, err)
	}
}

// TestBelievedProxies: the one header that is configured, and the PROXY protocol, reach
// the app; what a client writes into the other header does not.
func TestBelievedProxies(t *testing.T) {
	bin := evergateBinary(t)
	g := newFrontGate(t, bin)
	g.configure("public_url: http://localhost:$PORT\ntrusted_proxies: [127.0.0.1]\nforwarded_header: Forwarded\n")
	g.start()
	g.await("ready", func() bool { return g.ready() != "" })
	req := request("GET", "http://localhost:"+g.port, "Forwarded", "for=203.0.113.7;proto=https", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "http")
	if _, body := g.do(g.client(), req); !strings.HasPrefix(body, "client=203.0.113.7 scheme=https") {
		t.Errorf("got %s, want what Forwarded says", body)
	}

	g = newFrontGate(t, bin)
	g.configure("public_url: http://localhost:$PORT\ntrusted_proxies: [127.0.0.1]\nproxy_protocol: true\n")
	g.start()
	g.await("ready", func() bool { return g.ready() != "" })
	conn, err := net.Dial("tcp", "127.0.0.1:"+g.port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\nHost: localhost:%s\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n", g.port)
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "client=203.0.113.7 scheme=http ") {
		t.Errorf("got %s, %v, want the client of the PROXY header", answer, err)
	}
}
