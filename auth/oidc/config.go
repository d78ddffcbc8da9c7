package oidc

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/secret"
)

// ClientAuth is how the client proves who it is (OIDC Core section 9).
type ClientAuth int

const (
	// ClientSecretBasic sends the secret as HTTP Basic credentials.
	ClientSecretBasic ClientAuth = iota
	// ClientSecretPost sends it in the form.
	ClientSecretPost
	// PrivateKeyJWT signs an assertion (RFC 7523).
	PrivateKeyJWT
)

// WithoutRefresh says what ends a session that cannot be renewed.
type WithoutRefresh int

const (
	// EndWithAccessToken ends it when the access token expires.
	EndWithAccessToken WithoutRefresh = iota
	// EndWithIDToken ends it when the ID token expires.
	EndWithIDToken
)

// ClaimMap says which claims mean what. Each is a list of names of claims, or
// of dotted paths into them; a claim of exactly that name comes first. Of User,
// Name and Email the first that is there counts; Groups add up. Nil is the
// standard claim.
type ClaimMap struct{ User, Name, Email, Groups []string }

// Kinds of providers whose ways differ from the standards, by what is documented
// of them. Every other value means a provider that keeps to them.
const (
	KindGoogle = "google" // gives refresh tokens for access_type=offline
	KindDex    = "dex"    // says invalid_request for a spent refresh token
	KindEntra  = "entra"  // wants its endpoint as the audience of client assertions
	KindOkta   = "okta"   // the same
)

// Config is what a Method is made of.
type Config struct {
	// Name is the Identity.Provider of its Logins; Prefix stands before their
	// Identity.User.
	Name, Prefix string
	// Issuer is the provider's identifier, exactly.
	Issuer   string
	ClientID string
	// ClientAuth needs ClientSecret, or ClientKey for PrivateKeyJWT.
	ClientAuth   ClientAuth
	ClientSecret secret.Text
	ClientKey    crypto.Signer
	// Kind is one of the kinds above, or anything else.
	Kind string
	// Scopes are asked for; nil is openid, profile, email and offline_access. The
	// last is left out where the provider lists scopes and it is not among them.
	Scopes []string
	Claims ClaimMap
	// Userinfo reads the claims of the userinfo endpoint too.
	Userinfo bool
	// TrustEmail takes every address for verified.
	TrustEmail bool
	// Allow is who may sign in at all, asked again at each renewal and of clients
	// that bring their own tokens; nil is everybody.
	Allow *auth.Policy
	// Prompt, LoginHint, ACRValues and UILocales go into the authorization request
	// where they are not empty (OIDC Core section 3.1.2.1).
	Prompt, LoginHint, ACRValues, UILocales string
	// MaxAge demands a sign-in that is no older, in whole seconds; zero is one of
	// just now, and nil does not ask.
	MaxAge *time.Duration
	// Extra are further parameters of the authorization request. None takes the
	// place of one that is set here.
	Extra map[string]string
	// Resources are asked for at sign-in, so that renewals may ask for them too
	// (RFC 8707).
	Resources      []string
	WithoutRefresh WithoutRefresh
	// DPoP has the provider bind access tokens to a key of the session (RFC 9449). One that
	// it does not bind is refused.
	DPoP bool
	// Introspection asks the provider about clients' own tokens that are no JWTs.
	Introspection bool
	// BearerAudiences are those of access tokens that clients bring themselves; nil
	// takes none. The client id cannot be among them.
	BearerAudiences []string
	// RootCAs are for the provider's certificate; nil is the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one request, from the first byte sent to the last one read;
	// zero is 20 s.
	Timeout time.Duration
	// Once reports whether a name is used for the first time before until, on any
	// replica. Nil refuses all logout tokens: each is good once.
	Once func(ctx context.Context, name string, until time.Time) (bool, error)
	// Log takes events; nil discards them.
	Log *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Method signs people in at one provider. Make one with New; Close it to end
// what it runs.
type Method struct {
	cfg    Config
	allow  *auth.Policy // cfg.Allow, ready for use
	http   *http.Client
	rtrip  *http.Transport
	assert *assertion // nil unless PrivateKeyJWT

	ctx    context.Context // ends with Close; refreshes of metadata and keys live no longer
	cancel context.CancelFunc
	wg     sync.WaitGroup

	meta       cache[metadata]
	keys       cache[keySet]
	limiter    limiter // of key fetches for an unknown kid
	complaints limiter // of words to the operator about the client's own credentials
	shapes     limiter // and about the groups of clients' own tokens, which come with each request
	breaker    breaker
	asked      introspections // about clients' own tokens
	nonces     dpop.Nonces    // that the provider wants in proofs
	trouble    atomic.Pointer[trouble]
}

// trouble is an outage that lasts, for State.
type trouble struct {
	since time.Time
	text  string
}

var (
	_ auth.Redirector   = (*Method)(nil)
	_ auth.Refresher    = (*Method)(nil)
	_ auth.Revoker      = (*Method)(nil)
	_ auth.LogoutURLer  = (*Method)(nil)
	_ auth.LogoutTokens = (*Method)(nil)
)

// New returns a Method. It asks the provider nothing: a gateway starts and serves
// while its provider is down.
func New(cfg Config) (*Method, error) {
	issuer, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil || !safeURL(issuer, issuer) || issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil:
		return nil, fmt.Errorf("oidc: issuer %q: want https, or http on a loopback name, without query and fragment", cfg.Issuer)
	case cfg.Name == "" || cfg.ClientID == "":
		return nil, errors.New("oidc: a provider needs a name and a client id")
	case cfg.ClientAuth != PrivateKeyJWT && cfg.ClientSecret.IsZero():
		return nil, errors.New("oidc: a confidential client needs its secret")
	case slices.Contains(cfg.BearerAudiences, cfg.ClientID):
		return nil, errors.New("oidc: the client id is the audience of ID tokens and cannot be that of clients' own tokens")
	}
	if cfg.Scopes != nil && !slices.Contains(cfg.Scopes, "openid") {
		return nil, errors.New("oidc: the scopes lack openid, without which there is no ID token: add it")
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{"openid", "profile", "email", "offline_access"}
	}
	for paths, def := range map[*[]string]string{&cfg.Claims.User: "sub", &cfg.Claims.Name: "name", &cfg.Claims.Email: "email", &cfg.Claims.Groups: "groups"} {
		if len(*paths) == 0 {
			*paths = []string{def}
		}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("provider", cfg.Name)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m := &Method{cfg: cfg, limiter: limiter{every: 10 * time.Second, burst: 3},
		complaints: limiter{every: time.Minute, burst: 1}, shapes: limiter{every: time.Minute, burst: 1}}
	if cfg.Allow != nil {
		if m.allow, err = cfg.Allow.Compiled(); err != nil {
			return nil, err
		}
	}
	if cfg.ClientAuth == PrivateKeyJWT {
		if m.assert, err = newAssertion(cfg.ClientKey); err != nil {
			return nil, err
		}
	}
	m.rtrip = newTransport(&cfg)
	m.http = newClient(m.rtrip)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m, nil
}

// Close ends what the Method runs, and waits for it. Sign-ins and renewals that
// are under way go on, with what is known of the provider by then.
func (m *Method) Close() error {
	m.cancel()
	m.meta.close()
	m.keys.close()
	m.wg.Wait()
	m.rtrip.CloseIdleConnections()
	return nil
}

// State is how a provider is doing.
type State struct {
	Issuer string
	// Discovered says that its metadata are known.
	Discovered bool
	// Open says that it is not asked for renewals for now: it did not answer.
	Open bool
	// LastError is what is wrong with it, without secrets; "" is nothing that is
	// known of.
	LastError string
	// Since is when that began.
	Since time.Time
}

// State returns how the provider is doing. It asks the provider nothing.
func (m *Method) State() State {
	s := State{Issuer: m.cfg.Issuer, Discovered: m.meta.last() != nil, Open: m.breaker.isOpen()}
	if t := m.trouble.Load(); t != nil {
		s.LastError, s.Since = t.text, t.since
	}
	return s
}

// works notes that the provider does what it is for.
func (m *Method) works() {
	m.trouble.Store(nil)
	m.breaker.success()
}

// safeURL reports whether u may be talked to: over TLS, or on a loopback name
// where the issuer is one too.
func safeURL(u, issuer *url.URL) bool {
	if u == nil || u.Hostname() == "" || u.User != nil {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) && issuer != nil && isLoopback(issuer.Hostname())
}

func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}
