package door_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

// book is a log that tests read.
type book struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *book) count(event string) int { return strings.Count(b.String(), "event="+event+" ") }

// open is a door that serves on loopback, and how it is reached.
type open struct {
	*door.Door
	front, redirect string
	log             *book
}

// serve opens a door until the test ends. What o leaves out is generous.
func serve(t *testing.T, o door.Options) *open {
	t.Helper()
	b := &book{}
	o.Log = slog.New(slog.NewTextHandler(b, nil))
	o.ErrorLog = slog.New(slog.DiscardHandler)
	o.Context = context.Background()
	if o.Handler == nil {
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	}
	if o.Limits.HeaderBytes == 0 {
		o.Limits.HeaderBytes = 64 << 10
	}
	if o.Limits.HeaderTimeout == 0 {
		o.Limits.HeaderTimeout = 10 * time.Second
	}
	if o.Limits.Streams == 0 {
		o.Limits.Streams = 100
	}
	d := door.New(o)
	front, redirect := listen(t), listen(t)
	done := make(chan error, 1)
	go func() { done <- d.Serve(front, redirect) }()
	t.Cleanup(func() {
		_ = d.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if o.Certificates != nil {
			_ = o.Certificates.Close()
		}
	})
	return &open{d, front.Addr().String(), redirect.Addr().String(), b}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// authority signs certificates for tests.
type authority struct {
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	roots *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t), roots: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "door test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.roots.AddCert(a.cert)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns the PEM of a certificate for gate.example that ends at end, and of
// its key.
func (a *authority) issue(t *testing.T, serial int64, end time.Time) (chain, key []byte) {
	t.Helper()
	k := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"gate.example"},
		NotBefore: end.Add(-90 * 24 * time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func write(t *testing.T, file string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// files opens a certificate that ends in 60 days.
func files(t *testing.T, a *authority) *door.Files {
	t.Helper()
	dir := t.TempDir()
	chain, key := a.issue(t, 7, time.Now().Add(60*24*time.Hour))
	f, err := door.OpenFiles(door.FilesOptions{CertFile: write(t, filepath.Join(dir, "c"), chain), KeyFile: write(t, filepath.Join(dir, "k"), key),
		Every: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (a *authority) client(protos ...string) *tls.Config {
	return &tls.Config{RootCAs: a.roots, ServerName: "gate.example", NextProtos: protos}
}

// patience is for what comes soon where a machine has nothing else to do.
const patience = 20 * time.Second

// within waits until what is so, or fails.
func within(t *testing.T, most time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("not within %v: %s", most, what)
}
