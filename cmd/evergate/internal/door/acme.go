package door

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEOptions are what ACME is made of.
type ACMEOptions struct {
	// Hosts are the names to get a certificate each for, and nobody else's.
	Hosts []string
	// Email is where the authority writes to; "" is nowhere.
	Email string
	// Directory is the address of the authority, Roots how it is known; nil is the system's.
	Directory string
	Roots     *x509.CertPool
	// Dir is where certificates and the account's key are kept.
	Dir string
	Log *slog.Logger
}

// ACME gets certificates from an authority (RFC 8555), and new ones after two
// thirds of their life. The authority is shown that a name is ours by TLS-ALPN-01
// on the listener itself, or by HTTP-01 where plain http is served too.
//
// Only Start's goroutine asks for certificates. autocert would do so in a
// handshake, and then the visitors of a broken set-up use up what the authority
// allows.
type ACME struct {
	o    ACMEOptions
	said *lastWord

	mu      sync.Mutex // guards hosts, what they hold, and plain
	hosts   map[string]*acmeHost
	plain   http.Handler // what plain http is for besides challenges; nil is no plain http
	refresh chan struct{}

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// acmeHost is how it stands with one name. Each has a Manager of its own, for one
// that failed remembers that for a minute, and is replaced.
type acmeHost struct {
	manager *autocert.Manager
	http01  http.Handler // of the manager
	ready   bool         // there is a certificate, which the manager keeps new
	err     error        // why there is none
	leaf    *x509.Certificate
	tries   int
	next    time.Time // of the next attempt
}

// NewACME makes the folder and reads nothing else: certificates come after Start.
func NewACME(o ACMEOptions) (*ACME, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for certificates: %w", err)
	}
	// It may be older than we are, and it holds private keys.
	if err := os.Chmod(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("close the folder for certificates to others: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	a := &ACME{o: o, hosts: map[string]*acmeHost{}, refresh: make(chan struct{}, 1)}
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.said = &lastWord{next: transport, life: a.ctx}
	a.serve(o.Hosts)
	return a, nil
}

// serve has certificates for exactly these hosts. It holds mu, or nobody else is there
// yet.
func (a *ACME) serve(hosts []string) {
	for host := range a.hosts {
		if !slices.Contains(hosts, host) {
			delete(a.hosts, host)
		}
	}
	for _, host := range hosts {
		if a.hosts[host] == nil {
			a.hosts[host] = &acmeHost{}
			a.begin(host)
		}
	}
}

// names are the hosts.
func (a *ACME) names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.hosts))
}

// Prepare implements Certificates. A host that is new gets its certificate as soon as
// that is in force.
func (a *ACME) Prepare(c Served) (use func(), err error) {
	return func() {
		a.mu.Lock()
		a.serve(c.Hosts)
		a.mu.Unlock()
		a.lookAgain()
	}, nil
}

// lookAgain has what is due fetched now.
func (a *ACME) lookAgain() {
	select {
	case a.refresh <- struct{}{}:
	default:
	}
}

// begin gives a host a Manager that knows of no failure. It holds mu, or nobody
// else is there yet.
func (a *ACME) begin(host string) {
	h := a.hosts[host]
	h.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(a.o.Dir), Email: a.o.Email, HostPolicy: autocert.HostWhitelist(host),
		Client: &acme.Client{DirectoryURL: a.o.Directory, UserAgent: "evergate", HTTPClient: &http.Client{Transport: a.said, Timeout: 30 * time.Second},
			RetryBackoff: func(n int, _ *http.Request, res *http.Response) time.Duration {
				return patience(a.ctx.Done(), n, res.Header)
			}},
	}
	if a.plain != nil { // by this the manager knows that HTTP-01 works
		h.http01 = h.manager.HTTPHandler(a.plain)
	}
}

// TLS implements Certificates.
func (a *ACME) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1", acme.ALPNProto}, GetCertificate: a.certificate}
}

// certificate serves what there is, and the authority its proof.
func (a *ACME) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hostname(hello.ServerName)
	a.mu.Lock()
	h := a.hosts[name]
	if h == nil {
		a.mu.Unlock()
		return nil, fmt.Errorf("no certificate is kept for %q", name)
	}
	manager, ready := h.manager, h.ready
	a.mu.Unlock()
	if slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
		return manager.GetCertificate(hello)
	}
	if !ready {
		return nil, fmt.Errorf("there is no certificate for %q yet", name)
	}
	return manager.GetCertificate(helloFor(name))
}

// helloFor asks autocert for the one certificate of a name. By its own hello a very
// old client would have it get a second one, with an RSA key.
func helloFor(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
}

// Challenges implements Certificates, by HTTP-01.
func (a *ACME) Challenges(next http.Handler) http.Handler {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plain = next
	for host := range a.hosts {
		a.begin(host)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := hostname(r.Host)
		a.mu.Lock()
		h := next
		if known := a.hosts[name]; known != nil {
			h = known.http01
		}
		a.mu.Unlock()
		if strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
			bare := *r
			bare.Host = name // the manager compares it with names
			r = &bare
		}
		h.ServeHTTP(w, r)
	})
}

// Start implements Certificates.
func (a *ACME) Start() {
	a.wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			for _, host := range a.names() {
				if a.due(host) && a.ctx.Err() == nil {
					a.get(host)
				}
			}
			select {
			case <-a.ctx.Done():
				return
			case <-a.refresh:
			case <-tick.C:
			}
		}
	})
}

func (a *ACME) due(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.hosts[host]
	return h != nil && !time.Now().Before(h.next)
}

// get fetches the certificate of a host: from the folder, or from the authority. Where
// there is one already it is looked at, for autocert renews by itself and says nothing.
func (a *ACME) get(host string) {
	a.mu.Lock()
	h := a.hosts[host]
	if h == nil {
		a.mu.Unlock()
		return
	}
	manager := h.manager
	a.mu.Unlock()
	cert, err := manager.GetCertificate(helloFor(host))
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hosts[host] != h {
		return // it is not served any more
	}
	if err != nil {
		if a.ctx.Err() != nil {
			return
		}
		h.tries++
		h.err = fmt.Errorf("no certificate for %s could be had: %w", host, err)
		wait := retryAfter(h.tries)
		h.next = time.Now().Add(wait)
		a.begin(host)
		a.o.Log.Error("no certificate could be had; browsers cannot come in at this host", "event", "acme.failed", "host", host,
			"directory", a.o.Directory, "err", err, "again_in", wait.String())
		return
	}
	if h.leaf == nil || !h.leaf.Equal(cert.Leaf) {
		a.o.Log.Info("there is a certificate", "event", "acme.certificate", "host", host, "ends", cert.Leaf.NotAfter)
	}
	h.ready, h.err, h.tries, h.leaf = true, nil, 0, cert.Leaf
	h.next = time.Now().Add(min(time.Minute, cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)/100))
	if err := a.overdue(host, cert.Leaf); err != nil {
		h.err = err
	}
}

// overdue notices renewals that fail. autocert tries every half an hour to an hour,
// from a third of the life before the end on.
func (a *ACME) overdue(host string, leaf *x509.Certificate) error {
	due := leaf.NotAfter.Add(-min(leaf.NotAfter.Sub(leaf.NotBefore)/3, 30*24*time.Hour))
	if time.Since(due) < min(2*time.Hour, leaf.NotAfter.Sub(due)/2) {
		return nil
	}
	err := fmt.Errorf("the certificate for %s ends on %s, and a new one was due on %s", host, day(leaf.NotAfter), day(due))
	if word := a.said.get(); word != "" {
		err = fmt.Errorf("%w; the authority's last word: %s", err, word)
	}
	return err
}

// retryAfter begins with two minutes and goes on fourfold: Let's Encrypt lets a host
// fail five times an hour.
func retryAfter(tries int) time.Duration {
	return min(2*time.Minute<<min(2*(tries-1), 10), 6*time.Hour)
}

// Refresh implements Certificates: what failed is tried again now.
func (a *ACME) Refresh() error {
	a.mu.Lock()
	for _, h := range a.hosts {
		if !h.ready {
			h.next = time.Time{}
		}
	}
	a.mu.Unlock()
	a.lookAgain()
	return a.Trouble()
}

// Trouble implements Certificates.
func (a *ACME) Trouble() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []error
	for _, host := range slices.Sorted(maps.Keys(a.hosts)) {
		switch h := a.hosts[host]; {
		case h.err != nil:
			all = append(all, h.err)
		case !h.ready:
			all = append(all, fmt.Errorf("the certificate for %s is being fetched", host))
		}
	}
	return errors.Join(all...)
}

// Close implements Certificates.
func (a *ACME) Close() error {
	a.stop()
	a.wg.Wait()
	return nil
}
