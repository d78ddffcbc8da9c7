// Package oidctest is an OpenID Provider for tests: a real one over HTTP, with
// one client and two users, that can be stopped and started, and every token that
// a relying party has to refuse.
//
//	p := oidctest.Start(t)
//	p.ChangeClient(func(c *idp.Client) { c.RedirectURIs = []string{callback} })
//	back := p.SignIn(t, nil, begin, "alice", oidctest.Alice.Password)
//
// What it can be made to do wrong is in idp.Knobs.
package oidctest

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// The client that a Provider knows. It authenticates with client_secret_basic
// unless an option says otherwise.
const (
	ClientID     = "evergate"
	ClientSecret = "s3cret-of-the-client"
)

// Callback and Landing are registered for the client from the start.
const (
	Callback = "https://app.example/callback"
	Landing  = "https://app.example/signed-out"
)

// The users that a Provider knows.
var (
	Alice = idp.User{
		Subject: "subject-of-alice", Username: "alice", Password: "alice has a password", Name: "Alice Liddell",
		Email: "alice@example.com", EmailVerified: true, Groups: []string{"staff", "admins"},
	}
	Bob = idp.User{
		Subject: "subject-of-bob", Username: "bob", Password: "bob has another one", Name: "Bob",
		Email: "bob@example.com", EmailVerified: false, Groups: []string{"staff"},
	}
)

// Provider is a provider that listens on a port of its own.
type Provider struct {
	*idp.Provider
	// Issuer is its identifier, and where it is.
	Issuer string
	// ClientID and ClientSecret are those of its one client.
	ClientID, ClientSecret string
	// RootCAs are for its certificate; nil without TLS.
	RootCAs *x509.CertPool

	t       testing.TB
	tls     bool
	address string
	lure    *httptest.Server
	lured   atomic.Int64

	mu  sync.Mutex // guards srv
	srv *httptest.Server
}

// Option changes how a Provider is made.
type Option func(*options)

type options struct {
	tls    bool
	change []func(*idp.Config)
}

// TLS has the provider listen with a certificate of RootCAs.
func TLS() Option { return func(o *options) { o.tls = true } }

// Config changes what the provider is made of. Its Issuer is set already; its
// first client is the one of this package.
func Config(change func(*idp.Config)) Option {
	return func(o *options) { o.change = append(o.change, change) }
}

// Redirects registers redirect URIs beside Callback.
func Redirects(uris ...string) Option {
	return Config(func(c *idp.Config) { c.Clients[0].RedirectURIs = append(c.Clients[0].RedirectURIs, uris...) })
}

// Start starts a provider, which ends with the test.
func Start(t testing.TB, opts ...Option) *Provider {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("oidctest: %v", err)
	}
	p := &Provider{ClientID: ClientID, ClientSecret: ClientSecret, t: t, tls: o.tls, address: listener.Addr().String()}
	p.Issuer = "http://" + p.address
	if o.tls {
		p.Issuer = "https://" + p.address
	}
	cfg := idp.Config{
		Issuer: p.Issuer, Users: []idp.User{Alice, Bob},
		Clients: []idp.Client{{ID: ClientID, Secret: ClientSecret, RedirectURIs: []string{Callback}, PostLogoutRedirectURIs: []string{Landing}}},
	}
	for _, change := range o.change {
		change(&cfg)
	}
	if p.Provider, err = idp.New(cfg); err != nil {
		_ = listener.Close()
		t.Fatalf("oidctest: %v", err)
	}
	p.lure = httptest.NewServer(http.HandlerFunc(p.serveLure))
	p.serve(listener)
	if o.tls {
		p.RootCAs = x509.NewCertPool()
		p.RootCAs.AddCert(p.srv.Certificate()) // the same at every start
	}
	t.Cleanup(func() {
		_ = p.Close() // lets go of requests that hang
		p.Stop()
		p.lure.Close()
	})
	return p
}

func (p *Provider) serve(l net.Listener) {
	srv := httptest.NewUnstartedServer(p.Provider)
	_ = srv.Listener.Close() // it came with one of its own
	srv.Listener = l
	srv.Config.ReadHeaderTimeout = 10 * time.Second
	if p.tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.srv = srv
}

// URL is the address of the provider, which is its issuer.
func (p *Provider) URL() string { return p.Issuer }

// Stop has the provider be gone: its port refuses connections, and those there
// are break off. What it knows stays.
func (p *Provider) Stop() {
	p.mu.Lock()
	srv := p.srv
	p.srv = nil
	p.mu.Unlock()
	if srv == nil {
		return
	}
	_ = srv.Listener.Close()
	srv.CloseClientConnections()
	srv.Close()
}

// Restart has it listen again, on the same port and with what it knew.
func (p *Provider) Restart() {
	p.t.Helper()
	p.Stop()
	var l net.Listener
	var err error
	// Meanwhile the port may be an outgoing connection's, for a moment.
	for range 50 {
		if l, err = net.Listen("tcp", p.address); err == nil {
			p.serve(l)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.t.Fatalf("oidctest: listen again: %v", err)
}

// ChangeClient changes how the client is registered.
func (p *Provider) ChangeClient(change func(*idp.Client)) {
	p.t.Helper()
	c, _ := p.Client(p.ClientID)
	change(&c)
	if err := p.SetClient(c); err != nil {
		p.t.Fatalf("oidctest: %v", err)
	}
}

// Lured counts the requests to addresses that only a forged token names.
func (p *Provider) Lured() int { return int(p.lured.Load()) }
