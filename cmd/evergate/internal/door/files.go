package door

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// FilesOptions are what Files is made of.
type FilesOptions struct {
	// CertFile and KeyFile hold the chain and its key (PEM).
	CertFile, KeyFile string
	// Hosts are the names that people come by; a certificate for others is told.
	Hosts []string
	// Every is how often the files are looked at; zero means every two seconds.
	Every time.Duration
	Log   *slog.Logger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Files is a certificate that is read again when what its files hold has changed.
// Connections keep the one they began with.
type Files struct {
	o       FilesOptions
	current atomic.Pointer[tls.Certificate]

	mu     sync.Mutex // guards seen, bad, warned, the names and hosts in o, and the order of replacing
	seen   [sha256.Size]byte
	bad    error     // why the files as they are now cannot be used
	warned time.Time // when its end was last told

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// OpenFiles reads the pair. Without a good one there is nothing to serve with, so
// that is an error.
func OpenFiles(o FilesOptions) (*Files, error) {
	if o.Every == 0 {
		o.Every = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f := &Files{o: o, stop: func() {}}
	pair, seen, err := open(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, err
	}
	f.seen = seen
	f.use(pair)
	return f, nil
}

// open reads a pair that has to be good.
func open(certFile, keyFile string) (*tls.Certificate, [sha256.Size]byte, error) {
	chain, key, err := read(certFile, keyFile)
	if err != nil {
		return nil, [sha256.Size]byte{}, err
	}
	pair, err := parsePair(chain, key)
	if err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("the certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	return pair, digest(chain, key, nil), nil
}

// Prepare implements Certificates. Other files have to hold a good pair; those of now
// may be bad meanwhile.
func (f *Files) Prepare(c Served) (use func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.CertFile == f.o.CertFile && c.KeyFile == f.o.KeyFile {
		return func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if !slices.Equal(f.o.Hosts, c.Hosts) {
				f.o.Hosts = c.Hosts
				f.use(f.current.Load())
			}
		}, nil
	}
	pair, seen, err := open(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.o.Hosts, f.o.CertFile, f.o.KeyFile, f.seen, f.bad = c.Hosts, c.CertFile, c.KeyFile, seen, nil
		f.use(pair)
	}, nil
}

// Start implements Certificates: the files are watched until Close.
func (f *Files) Start() {
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.wg.Go(func() {
		tick := time.NewTicker(f.o.Every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = f.Refresh() // told by itself
			}
		}
	})
}

// Close implements Certificates.
func (f *Files) Close() error {
	f.stop()
	f.wg.Wait()
	return nil
}

// TLS implements Certificates.
func (f *Files) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil },
	}
}

// Challenges implements Certificates: files need no proof.
func (f *Files) Challenges(next http.Handler) http.Handler { return next }

// Refresh reads the files, and has the pair in them serve if it is new and good.
// What is told of a content is told once. Looking at what is read, and not at times or names, sees
// through links and swapped volumes.
func (f *Files) Refresh() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	chain, key, err := read(f.o.CertFile, f.o.KeyFile)
	now := digest(chain, key, err)
	// A volume that is swapped between the two gives one of before and one of now, which would be
	// told as a key of another: what is new is read until it is the same twice.
	for tries, before := 0, f.seen; now != f.seen && now != before && tries < 3; tries++ {
		before = now
		chain, key, err = read(f.o.CertFile, f.o.KeyFile)
		now = digest(chain, key, err)
	}
	if now == f.seen {
		f.tellEnd()
		return f.bad
	}
	f.seen = now
	if err == nil {
		var pair *tls.Certificate
		if pair, err = parsePair(chain, key); err == nil && f.o.Now().After(pair.Leaf.NotAfter) && f.o.Now().Before(f.current.Load().Leaf.NotAfter) {
			err = fmt.Errorf("it ended on %s", day(pair.Leaf.NotAfter))
		} else if err == nil {
			f.bad = nil
			f.use(pair)
			f.o.Log.Info("the certificate was read again", "event", "tls.reloaded", "file", f.o.CertFile, "ends", pair.Leaf.NotAfter)
			return nil
		}
	}
	f.bad = fmt.Errorf("the certificate has changed and cannot be used, so the one of before is served on: %w", err)
	f.o.Log.Error("the certificate has changed and cannot be used; the one of before is served on", "event", "tls.bad", "cert_file", f.o.CertFile, "key_file", f.o.KeyFile, "err", err)
	return f.bad
}

// use has a pair serve from now on.
func (f *Files) use(pair *tls.Certificate) {
	f.current.Store(pair)
	f.warned = time.Time{}
	for _, host := range f.o.Hosts {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			f.o.Log.Warn("the certificate is not for a host that is served with it; browsers will refuse it there", "event", "tls.host", "host", host, "file", f.o.CertFile, "names", pair.Leaf.DNSNames)
		}
	}
	f.tellEnd()
}

// tellEnd warns of a certificate that ends soon, once a day.
func (f *Files) tellEnd() {
	now := f.o.Now()
	if err := endsSoon(f.current.Load().Leaf, now); err != nil && now.Sub(f.warned) >= 24*time.Hour {
		f.warned = now
		f.o.Log.Warn("the certificate has to be renewed", "event", "tls.ending", "file", f.o.CertFile, "err", err)
	}
}

// Trouble implements Certificates.
func (f *Files) Trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad != nil {
		return f.bad
	}
	return endsSoon(f.current.Load().Leaf, f.o.Now())
}

func read(certFile, keyFile string) (chain, key []byte, err error) {
	if chain, err = os.ReadFile(certFile); err != nil {
		return nil, nil, fmt.Errorf("read tls.cert_file: %w", err)
	}
	if key, err = os.ReadFile(keyFile); err != nil {
		return nil, nil, fmt.Errorf("read tls.key_file: %w", err)
	}
	return chain, key, nil
}

func parsePair(chain, key []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(chain, key) // fills in Leaf
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// digest tells one content of the files from another, and one reason why there is
// none.
func digest(chain, key []byte, err error) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %v\x00", len(chain), err)
	h.Write(chain)
	h.Write(key)
	return [sha256.Size]byte(h.Sum(nil))
}
