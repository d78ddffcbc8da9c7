package rig

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

const providerName = "bench"

// Provider is an OpenID provider in this process.
type Provider struct {
	*idp.Provider
	Issuer string

	client, secret string

	mu        sync.Mutex // guards redirects
	redirects []string
}

// Provider starts one whose access tokens live for ttl. It knows User.
func (r *Rig) Provider(ttl time.Duration) (*Provider, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("a port for the provider: %w", err)
	}
	p := &Provider{Issuer: "http://" + l.Addr().String(), client: "evergate", secret: rand.Text()}
	// ES256, for a signature of RS256 takes so long that it would be what is measured.
	p.Provider, err = idp.New(idp.Config{Issuer: p.Issuer, AccessTTL: ttl, SigningAlg: "ES256",
		Users: []idp.User{{Subject: "4711", Username: User, Password: Password, Name: "Alice", Email: "alice@example.com", EmailVerified: true,
			Groups: []string{"staff"}, Claims: map[string]any{"preferred_username": User}}}})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	r.onClose(func() error {
		err := errors.Join(p.Close(), s.Close())
		<-served
		return err
	})
	return p, nil
}

// register tells it of a gateway at base.
func (p *Provider) register(base string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.redirects = append(p.redirects, base+"/.evergate/callback/"+providerName)
	return p.SetClient(idp.Client{ID: p.client, Secret: p.secret, RedirectURIs: p.redirects})
}
