package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
)

// authority is Let's Encrypt's own test server, pebble, with a DNS of its own in
// which every name is this machine.
type authority struct {
	dir, binary string
	port, admin string
	dns         string
	tlsPort     string // where it looks for TLS-ALPN-01
	httpPort    string // where it looks for HTTP-01
	validity    int    // of certificates, in seconds
	*process
}

// newAuthority prepares pebble; begin starts it.
func newAuthority(t *testing.T, validity int) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), port: freePort(t), admin: freePort(t), tlsPort: freePort(t), httpPort: freePort(t), validity: validity,
		dns: "127.0.0.1:" + freePort(t)}
	a.binary = filepath.Join(a.dir, "pebble")
	if out, err := exec.Command("go", "build", "-o", a.binary, "github.com/letsencrypt/pebble/v2/cmd/pebble").CombinedOutput(); err != nil {
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
	names, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{a.dns}, Log: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	names.SetDefaultDNSIPv4("127.0.0.1")
	names.SetDefaultDNSIPv6("")
	names.Run()
	t.Cleanup(names.Shutdown)

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.write(t, "ca.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return a
}

func (a *authority) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// begin starts pebble: strict, without the pauses that it makes to tease, and with
// one nonce in twenty refused.
func (a *authority) begin(t *testing.T) {
	t.Helper()
	var tlsPort, httpPort int
	_, _ = fmt.Sscan(a.tlsPort+" "+a.httpPort, &tlsPort, &httpPort)
	cfg, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": "127.0.0.1:" + a.port, "managementListenAddress": "127.0.0.1:" + a.admin,
		"certificate": filepath.Join(a.dir, "ca.pem"), "privateKey": filepath.Join(a.dir, "ca.key"),
		"tlsPort": tlsPort, "httpPort": httpPort, "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "test", "validityPeriod": a.validity}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "pebble.json", cfg)
	// A shell makes of pebble, which ends by the signal, a program that ends well.
	a.process = start(t, a.dir, "/bin/sh", "-c", `PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=5 "$0" -strict -config pebble.json -dnsserver "$1" & p=$!; trap 'kill $p; wait $p; exit 0' TERM; wait $p`, a.binary, a.dns)
	await(t, "pebble answers", func() bool {
		res, err := a.client(t).Get(a.directory())
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
}

func (a *authority) directory() string { return "https://127.0.0.1:" + a.port + "/dir" }

// client trusts pebble's own certificate.
func (a *authority) client(t *testing.T) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(a.dir, "ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal("no root of pebble's", err)
	}
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// roots are those of the certificates that it issues.
func (a *authority) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	res, err := a.client(t).Get("https://127.0.0.1:" + a.admin + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("no root in %q", text)
	}
	return roots
}

func within(t *testing.T, most time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("not within %v: %s", most, what)
}

// acmeGate is a gateway that gets its certificates from an authority.
type acmeGate struct {
	dir, port, plain, admin string
	*process
}

// newACMEGate writes the config of a gateway for gate.example and wiki.example.
func newACMEGate(t *testing.T, a *authority, port, plain string) *acmeGate {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") }))
	t.Cleanup(app.Close)
	g := &acmeGate{dir: t.TempDir(), port: port, plain: plain, admin: freePort(t)}
	evergate(t, g.dir, "", "key", "new", "--out", "evergate.key")
	redirect := ""
	if plain != "" {
		redirect = ", redirect_http: 127.0.0.1:" + plain
	}
	text := fmt.Sprintf(`
listen: 127.0.0.1:%s
public_url: https://gate.example:%s
tls: { acme: { email: ops@gate.example, directory: "%s", ca_file: %s }%s }
admin: { listen: 127.0.0.1:%s }
identity: [ local: { users_file: users.yaml } ]
keys: { files: [evergate.key] }
routes:
  - { public: true, upstream: "%s" }
  - { match: { host: wiki.example }, public: true, upstream: "%s" }
`, port, port, a.directory(), filepath.Join(a.dir, "ca.pem"), redirect, g.admin, app.URL, app.URL)
	for name, content := range map[string]string{"evergate.yaml": text, "users.yaml": "users: {}\n"} {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func (g *acmeGate) begin(t *testing.T) {
	t.Helper()
	g.process = start(t, g.dir, binary, "serve", "--config", "evergate.yaml")
	g.awaitHTTP(t, "http://127.0.0.1:"+g.admin+"/livez")
}

// trouble is what /readyz says of certificates, "" where all is well.
func (g *acmeGate) trouble(t *testing.T) string {
	t.Helper()
	res, err := http.Get("http://127.0.0.1:" + g.admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Ready bool
		Parts map[string]struct {
			OK     bool
			Reason string
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || !answer.Ready {
		t.Fatalf("/readyz: got %v, %v, want ready whatever the certificates are", answer, err)
	}
	c := answer.Parts["certificate"]
	if c.OK != (c.Reason == "") {
		t.Fatalf("/readyz: got %v", c)
	}
	return c.Reason
}

// leaf is the certificate that a host is served with; its chain is verified.
func (g *acmeGate) leaf(roots *x509.CertPool, host string) (*x509.Certificate, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", "127.0.0.1:"+g.port, &tls.Config{RootCAs: roots, ServerName: host})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// TestACMEByTLSALPN: certificates for the two hosts that are known and no others,
// kept closed to others, there after a restart without the authority.
func TestACMEByTLSALPN(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, 90*24*3600)
	a.begin(t)
	g := newACMEGate(t, a, a.tlsPort, "")
	g.begin(t)
	within(t, 60*time.Second, "certificates: "+g.trouble(t), func() bool { return g.trouble(t) == "" })
	roots := a.roots(t)
	before := map[string]*x509.Certificate{}
	for _, host := range []string{"gate.example", "wiki.example"} {
		leaf, err := g.leaf(roots, host)
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		if len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != host {
			t.Errorf("%s is served with a certificate for %v", host, leaf.DNSNames)
		}
		before[host] = leaf
	}
	for _, host := range []string{"other.example", "x.gate.example", ""} {
		if leaf, err := g.leaf(roots, host); err == nil {
			t.Errorf("%q is served with a certificate for %v, want none", host, leaf.DNSNames)
		}
	}
	if strings.Contains(a.stdout.String(), "other.example") {
		t.Error("a handshake for a host that is not known here had a certificate ordered")
	}

	folder := filepath.Join(g.dir, "evergate-data", "acme")
	if err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, want it closed to others", path, info.Mode())
		}
		return err
	}); err != nil {
		t.Error(err)
	}

	g.stop(t)
	a.stop(t)
	g.begin(t)
	within(t, 10*time.Second, "certificates from the folder", func() bool { return g.trouble(t) == "" })
	for host, want := range before {
		if leaf, err := g.leaf(roots, host); err != nil || !leaf.Equal(want) {
			t.Errorf("after a restart without the authority, %s: got %v, want the certificate of before", host, err)
		}
	}
}

// TestACMEByHTTP: where the authority does not reach the listener itself, it is
// answered on plain http, which otherwise sends on to https.
func TestACMEByHTTP(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, 90*24*3600)
	a.begin(t)
	g := newACMEGate(t, a, freePort(t), a.httpPort)
	g.begin(t)
	within(t, 60*time.Second, "certificates: "+g.trouble(t), func() bool { return g.trouble(t) == "" })
	if leaf, err := g.leaf(a.roots(t), "wiki.example"); err != nil || leaf.DNSNames[0] != "wiki.example" {
		t.Errorf("got %v, %v, want a certificate for wiki.example", leaf, err)
	}
	if !strings.Contains(a.stdout.String(), "w/ HTTP: http://wiki.example") {
		t.Error("the authority did not ask by HTTP-01; this test shows nothing")
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range map[string]int{"/a?b": 308, "/.well-known/acme-challenge/none": 404} {
		req, _ := http.NewRequest("GET", "http://127.0.0.1:"+g.plain+path, nil)
		req.Host = "wiki.example"
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want || want == 308 && res.Header.Get("Location") != "https://wiki.example:"+g.port+path {
			t.Errorf("%s: got %d, %v, want %d", path, res.StatusCode, res.Header, want)
		}
	}
}

// TestACMERenews: a certificate of a short life is replaced while requests go on; when the
// authority is gone at the next one, that is told, and the last is served.
func TestACMERenews(t *testing.T) {
	t.Parallel()
	const life = 30
	a := newAuthority(t, life)
	a.begin(t)
	g := newACMEGate(t, a, a.tlsPort, "")
	g.begin(t)
	within(t, 60*time.Second, "certificates: "+g.trouble(t), func() bool { return g.trouble(t) == "" })
	roots := a.roots(t)
	first, err := g.leaf(roots, "gate.example")
	if err != nil {
		t.Fatal(err)
	}
	kept := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "gate.example"},
		MaxIdleConns: 1, MaxConnsPerHost: 1}}
	defer kept.CloseIdleConnections()
	var second *x509.Certificate
	within(t, (life+10)*time.Second, "a new certificate", func() bool {
		req, _ := http.NewRequest("GET", "https://127.0.0.1:"+g.port+"/", nil)
		req.Host = "gate.example"
		res, err := kept.Do(req)
		if err != nil {
			t.Fatalf("a request while the certificate is renewed: %v", err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		second, err = g.leaf(roots, "gate.example")
		if err != nil {
			t.Fatalf("a handshake while the certificate is renewed: %v", err)
		}
		return !second.Equal(first)
	})
	a.stop(t)
	within(t, (life+10)*time.Second, "the missing renewal is told", func() bool {
		why := g.trouble(t)
		return strings.Contains(why, "and a new one was due on") && strings.Contains(why, "the authority's last word") && strings.Contains(why, "refused")
	})
}

// TestACMEWithoutItsAuthority: the gateway runs, says what is wrong, makes no
// order for a visitor, and tries again at once when told to.
func TestACMEWithoutItsAuthority(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, 90*24*3600)
	g := newACMEGate(t, a, a.tlsPort, "")
	g.begin(t)
	await(t, "the reason", func() bool {
		why := g.trouble(t)
		return strings.Contains(why, "no certificate for gate.example could be had") && strings.Contains(why, "connection refused") && strings.Contains(why, "wiki.example")
	})
	a.begin(t)
	for range 20 {
		if _, err := g.leaf(nil, "gate.example"); err == nil {
			t.Fatal("a handshake without a certificate worked")
		}
	}
	time.Sleep(time.Second)
	if strings.Contains(a.stdout.String(), "gate.example") {
		t.Error("a visitor's handshake had a certificate ordered")
	}
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	within(t, 60*time.Second, "certificates after SIGHUP", func() bool { return g.trouble(t) == "" })
	if _, err := g.leaf(a.roots(t), "gate.example"); err != nil {
		t.Error(err)
	}
}
