package idp

import (
	"context"
	"crypto"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config is what a Provider is made of.
type Config struct {
	// Issuer is its identifier and where it is served.
	Issuer  string
	Clients []Client
	Users   []User
	// AccessTTL, IDTTL and RefreshTTL are lives of tokens; zero is 5 min, 1 h, 24 h.
	AccessTTL, IDTTL, RefreshTTL time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// HTTP calls clients for back-channel logout; nil is http.DefaultClient.
	HTTP *http.Client
}

// Client is who may ask for tokens.
type Client struct {
	ID, Secret string
	// Key checks private_key_jwt.
	Key crypto.PublicKey
	// Auth is client_secret_basic, client_secret_post or private_key_jwt, and the
	// only one that is taken.
	Auth                      string
	RedirectURIs, AfterLogout []string
	BackchannelLogoutURI      string
}

// User is somebody who can sign in.
type User struct {
	Subject, Username, Password string
	// Claims go into ID tokens and userinfo.
	Claims map[string]any
}

// Provider is an http.Handler. Make one with New; Close it to end requests that hang.
type Provider struct {
	cfg  Config
	base *url.URL
	mux  *http.ServeMux

	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex // guards all below
	knobs    Knobs
	stats    Stats
	keys     []*key // the first signs
	keyCount int
	codes    map[string]*code
	pushed   map[string]url.Values
	tokens   map[string]*refresh // every refresh token ever given, spent ones too
	grants   []*grant
	sessions map[string]*session // by cookie
	used     map[string]bool     // jti of client assertions
}

// grant is what one sign-in allowed a client.
type grant struct {
	client   *Client
	subject  string
	sid      string
	scope    string
	nonce    string
	authTime time.Time
	revoked  bool
	running  int // refreshes under way
}

type code struct {
	grant       *grant
	redirectURI string
	challenge   string
	used        bool
	until       time.Time
}

type refresh struct {
	grant *grant
	spent bool
	until time.Time
}

// session is a browser that is signed in here.
type session struct {
	sid, subject string
	authTime     time.Time
	clients      map[*Client]bool
}

// New returns a Provider.
func New(cfg Config) (*Provider, error) {
	base, err := url.Parse(cfg.Issuer)
	if err != nil || base.Host == "" || strings.HasSuffix(base.Path, "/") {
		return nil, errors.New("idp: the issuer is no address, or ends in a slash")
	}
	for ttl, def := range map[*time.Duration]time.Duration{&cfg.AccessTTL: 5 * time.Minute, &cfg.IDTTL: time.Hour, &cfg.RefreshTTL: 24 * time.Hour} {
		if *ttl == 0 {
			*ttl = def
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	p := &Provider{cfg: cfg, base: base, codes: map[string]*code{}, pushed: map[string]url.Values{}, tokens: map[string]*refresh{},
		sessions: map[string]*session{}, used: map[string]bool{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.RotateKeys()
	p.routes()
	return p, nil
}

// Close ends requests that hang.
func (p *Provider) Close() { p.cancel() }

func (p *Provider) routes() {
	p.mux = http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": p.discovery, "/jwks": p.jwks, "/authorize": p.authorize, "/login": p.login,
		"/par": p.push, "/token": p.token, "/userinfo": p.userinfo, "/revoke": p.revoke, "/end_session": p.endSession,
	} {
		p.mux.HandleFunc(p.base.Path+path, h)
	}
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if p.now().Down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	p.mux.ServeHTTP(w, r)
}

// now are the knobs as they are.
func (p *Provider) now() Knobs {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.knobs
}

// Turn changes the knobs.
func (p *Provider) Turn(f func(*Knobs)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.knobs)
}

// Stats returns what was counted.
func (p *Provider) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

func (p *Provider) count(f func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.stats)
}

// SetUser adds a user or changes one.
func (p *Provider) SetUser(u User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	users := make([]User, 0, len(p.cfg.Users)+1)
	for _, old := range p.cfg.Users {
		if old.Subject != u.Subject {
			users = append(users, old)
		}
	}
	p.cfg.Users = append(users, u)
}

// RevokeAll ends every grant, as an administrator would.
func (p *Provider) RevokeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.grants {
		g.revoked = true
	}
	clear(p.sessions)
}

// Alive is how many grants are not revoked.
func (p *Provider) Alive() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.grants {
		if !g.revoked {
			n++
		}
	}
	return n
}

func (p *Provider) user(find func(*User) bool) *User {
	for i := range p.cfg.Users {
		if find(&p.cfg.Users[i]) {
			u := p.cfg.Users[i]
			return &u
		}
	}
	return nil
}

func (p *Provider) client(id string) *Client {
	for i := range p.cfg.Clients {
		if p.cfg.Clients[i].ID == id {
			return &p.cfg.Clients[i]
		}
	}
	return nil
}
