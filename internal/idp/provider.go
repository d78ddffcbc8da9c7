package idp

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Provider is an OpenID Provider, as an http.Handler. Make one with New.
type Provider struct {
	cfg  Config
	base string // the issuer's path, without a slash at the end
	mux  *http.ServeMux

	turning sync.Mutex // one Turn at a time
	knobs   atomic.Pointer[Knobs]

	closed    chan struct{} // ends all waits
	closeOnce sync.Once

	mu        sync.Mutex // guards the rest; never held over a wait, a call or a signature
	clients   map[string]Client
	users     map[string]User // by subject
	signing   *key
	published []*key // the signing key first
	everKeys  []*key // to recognize our own tokens after a rotation
	stats     Stats
	faulty    int // token requests since the last Turn, for Knobs.Times

	requests   map[string]*request    // sign-ins under way, by what their form carries
	pushed     map[string]*request    // by request_uri
	sessions   map[string]*ssoSession // by cookie
	codes      map[string]*code
	refresh    map[string]*refreshToken
	access     map[string]*accessToken
	grants     map[*grant]struct{}
	assertions map[string]time.Time // ids of client assertions, until they expire
	swept      time.Time
}

// New returns a provider. An error tells what of cfg cannot work.
func New(cfg Config) (*Provider, error) {
	cfg, issuer, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Provider{
		cfg: cfg, base: strings.TrimSuffix(issuer.Path, "/"), mux: http.NewServeMux(), closed: make(chan struct{}),
		clients: map[string]Client{}, users: map[string]User{},
		requests: map[string]*request{}, pushed: map[string]*request{}, sessions: map[string]*ssoSession{},
		codes: map[string]*code{}, refresh: map[string]*refreshToken{}, access: map[string]*accessToken{},
		grants: map[*grant]struct{}{}, assertions: map[string]time.Time{},
	}
	p.knobs.Store(&Knobs{})
	for _, c := range cfg.Clients {
		if err := p.SetClient(c); err != nil {
			return nil, err
		}
	}
	for _, u := range cfg.Users {
		if err := p.SetUser(u); err != nil {
			return nil, err
		}
	}
	if err := p.RotateKeys(); err != nil {
		return nil, err
	}
	p.routes()
	return p, nil
}

func (p *Provider) routes() {
	p.handle("GET /.well-known/openid-configuration", func(s *Stats) { s.Discoveries++ }, p.serveMetadata)
	p.handle("GET /jwks", func(s *Stats) { s.JWKSFetches++ }, p.serveJWKS)
	p.handle("GET /authorize", func(s *Stats) { s.Authorizations++ }, p.serveAuthorize)
	p.handle("POST /par", func(s *Stats) { s.PARs++ }, p.servePAR)
	p.handle("GET /login", nil, p.serveLoginPage)
	p.handle("POST /login", nil, p.serveLogin)
	p.handle("POST /token", func(s *Stats) { s.TokenRequests++ }, p.serveToken)
	p.handle("GET /userinfo", func(s *Stats) { s.Userinfos++ }, p.serveUserinfo)
	p.handle("POST /userinfo", func(s *Stats) { s.Userinfos++ }, p.serveUserinfo)
	p.handle("POST /revoke", func(s *Stats) { s.Revocations++ }, p.serveRevoke)
	p.handle("POST /introspect", func(s *Stats) { s.Introspections++ }, p.serveIntrospect)
	p.handle("GET /logout", func(s *Stats) { s.Logouts++ }, p.serveEndSession)
	p.handle("POST /logout", func(s *Stats) { s.Logouts++ }, p.serveEndSession)
}

// handle mounts an endpoint below the issuer.
func (p *Provider) handle(pattern string, count func(*Stats), serve http.HandlerFunc) {
	method, path, _ := strings.Cut(pattern, " ")
	p.mux.HandleFunc(method+" "+p.base+path, func(w http.ResponseWriter, r *http.Request) {
		if count != nil {
			p.count(count)
		}
		if k := p.knobs.Load(); k.Down {
			bare(w, k, http.StatusServiceUnavailable)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		serve(w, r)
	})
}

// ServeHTTP serves all endpoints.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Close ends all waits that knobs ask for. What else is under way ends by itself.
func (p *Provider) Close() error {
	p.closeOnce.Do(func() { close(p.closed) })
	return nil
}

// SetClient adds a client, or replaces the one with that id.
func (p *Provider) SetClient(c Client) error {
	c, err := c.checked()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[c.ID] = c
	return nil
}

// SetUser adds a user, or replaces the one with that subject. Renewals tell the
// new claims.
func (p *Provider) SetUser(u User) error {
	if err := u.checked(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[u.Subject] = u
	return nil
}

// RemoveUser forgets a user, whose sessions and grants are then good for nothing.
func (p *Provider) RemoveUser(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.users, subject)
}

// Client returns the client with that id, as it is registered.
func (p *Provider) Client(id string) (Client, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.clients[id]
	return c, ok
}

// User returns the user with that subject.
func (p *Provider) User(subject string) (User, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := p.users[subject]
	return u, ok
}

// url is the address of an endpoint.
func (p *Provider) url(path string) string { return strings.TrimSuffix(p.cfg.Issuer, "/") + path }

// wait waits for d, and reports whether it was not cut short.
func (p *Provider) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-p.closed:
	}
	return false
}
