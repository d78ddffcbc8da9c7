package attacks

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/freeport"
)

// lab is a gateway as people run it, with https, local users and an app that records what it
// gets. Its rules: /public/ is open, /admin/ is for the group admin, everything else for whoever
// is signed in.
type lab struct {
	t       *testing.T
	dir     string
	config  string // the file
	address string // of the gateway
	host    string // gw.test, with the port
	admin   string
	forward string // where a proxy in front asks, if one does, and in which dialect
	dialect string
	app     *recorder
	roots   *x509.CertPool
	// providers are those of a lab that has any, by their names in the config.
	providers map[string]*oidctest.Provider

	*program
	secrets *secrets
	jars    map[string]string // the cookie of each user; see signedIn
	looked  bool
	before  mark
}

// The hosts that the certificate is for. None of them is looked up: everything is dialed by address.
const (
	gatewayHost = "gw.test"
	otherHost   = "other.test"
)

// password is everybody's.
const password = "a few words in a row"

// setup is what a lab has beside the usual. The zero value is nothing.
type setup struct {
	identity string            // in place of local users: the list below identity, with two spaces before each line
	routes   string            // in place of the usual: the list below routes
	more     string            // at the end of the file
	files    map[string]string // beside it
	args     []string          // for serve
	env      []string
}

const usualRoutes = `  - match: { path: /public/ }
    public: true
    upstream: %[1]q
  - match: { path: /admin/ }
    allow: [ groups: [admin] ]
    upstream: %[1]q
  - upstream: %[1]q
  - match: { host: other.test }
    upstream: %[1]q
`

// newLab starts a lab, which ends with the test.
func newLab(t *testing.T, s setup) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), app: newRecorder(t), secrets: &secrets{}, jars: map[string]string{}}
	l.config = filepath.Join(l.dir, "evergate.yaml")
	port, adminPort := freePort(t), freePort(t)
	l.address, l.admin, l.host = fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", adminPort), fmt.Sprintf("%s:%d", gatewayHost, port)
	l.roots = certificate(t, l.dir)
	if s.identity == "" {
		s.identity = "  - local: { users_file: users.yaml }\n"
		l.write("users.yaml", usersFile)
	}
	if s.routes == "" {
		s.routes = usualRoutes
	}
	if strings.Contains(s.routes, "%[1]q") {
		s.routes = fmt.Sprintf(s.routes, l.app.url())
	}
	for name, text := range s.files {
		l.write(name, text)
	}
	l.write("evergate.yaml", fmt.Sprintf(`listen: %s
public_url: https://%s
tls: { cert_file: tls.pem, key_file: tls.key }
data_dir: data
admin: { listen: %q }
log: { level: debug, format: json }
audit: { file: audit.jsonl }
identity:
%sroutes:
%s%s`, l.address, l.host, l.admin, s.identity, s.routes, s.more))
	l.program = start(t, l.dir, append([]string{"serve", "--config", l.config}, s.args...), s.env)
	l.awaitReady()
	l.eventually("the audit log begins", func() bool { return len(l.events()) > 0 }) // it is written beside
	return l
}

// eventually waits for what happens beside an answer.
func (l *lab) eventually(what string, holds func() bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("it did not happen that %s", what)
		}
	}
}

// of is l for one case.
func (l *lab) of(t *testing.T) *lab {
	next := *l
	next.t, next.looked = t, false
	next.before = next.marks()
	return &next
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	file := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// certificate writes tls.pem and tls.key for the lab's hosts.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: gatewayHost}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{gatewayHost, otherHost}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"tls.pem": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots
}

// usersFile has alice and bob of staff, and root of admin, with the password of all of them. Its
// hash is the cheapest that is taken, since they sign in a thousand times.
var usersFile = strings.NewReplacer("HASH", "'$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiB0aGUgYXR0YWNrcw$lvsTMoOBvgaVqjVyHK2psms8/EpKAy+tW8OrUX2mm9Q'").Replace(`users:
    alice:
        password: HASH
        groups:
            - staff
        email: alice@example.com
    bob:
        password: HASH
        groups:
            - staff
        email: bob@example.com
    root:
        password: HASH
        groups:
            - admin
        email: root@example.com
`)

// program is an evergate that runs.
type program struct {
	cmd   *exec.Cmd
	out   *output
	ended chan struct{} // closed once err is set
	err   error
}

// start runs evergate in dir until the test is over. It has to end well when it is asked to.
func start(t *testing.T, dir string, args, env []string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(binary, args...), out: &output{}, ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.out, p.out
	p.cmd.Env = append(os.Environ(), append([]string{"HOME=" + dir, "TMPDIR=" + dir}, env...)...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
			if p.err != nil {
				t.Errorf("evergate ended by %v, want exit code 0 after SIGTERM", p.err)
			}
		case <-time.After(20 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.ended
			t.Error("evergate still ran 20 s after SIGTERM")
		}
		if t.Failed() {
			t.Logf("the log of evergate %s ends in:\n%s", strings.Join(args, " "), p.out.end())
		}
	})
	return p
}

// awaitReady waits until the gateway accepts connections, and has said so in the audit log:
// the first case must not find that line.
func (l *lab) awaitReady() {
	l.t.Helper()
	for range 1000 {
		if c, err := net.Dial("tcp", l.address); err == nil {
			c.Close()
			if len(l.events()) > 0 {
				return
			}
		}
		select {
		case <-l.ended:
			l.t.Fatalf("evergate ended before it served: %v\n%s", l.err, l.out.end())
		case <-time.After(10 * time.Millisecond):
		}
	}
	l.t.Fatal("evergate does not listen")
}

// tlsConfig is that of a client which knows the gateway as name.
func (l *lab) tlsConfig(name string, protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: l.roots, ServerName: name, MinVersion: tls.VersionTLS12, NextProtos: protocols}
}

// output collects what a program writes while it runs.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

// from is what was written after the first n bytes.
func (o *output) from(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf.Bytes()[n:])
}

func (o *output) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Len()
}

func (o *output) end() string {
	all := o.from(0)
	return all[max(0, len(all)-6000):]
}
