package idp

import (
	"net/http"
	"net/url"
	"time"
)

// Knobs make a provider misbehave. The zero value behaves well. Functions among
// them are called without a lock held, from several requests at once; maps that
// they are handed are theirs to change.
type Knobs struct {
	// Down answers 503 to everything.
	Down bool
	// RetryAfter is the Retry-After of every 429 and 503; "" sends none.
	RetryAfter string
	// CacheControl is that of metadata and keys; "" is max-age=300.
	CacheControl string
	// ClockSkew is added to all times in tokens.
	ClockSkew time.Duration

	// OnlyRefresh keeps everything that concerns the token endpoint and the tokens
	// made there to refresh grants. Times keeps it to so many requests, counted
	// from the last Turn; zero is all of them.
	OnlyRefresh bool
	Times       int

	// AtToken is called for each token request before anything happens.
	AtToken func(*http.Request)

	// What happens before the grant, so that a refresh token stays good: DelayBefore
	// waits, DropBefore closes the connection, Hang waits until the client leaves or
	// the provider is closed. TokenStatus is a bare status, or that of TokenError,
	// whose own is 400. HTMLBody answers with a page and 200, and Redirect answers
	// 307 to that URL.
	DelayBefore                       time.Duration
	DropBefore, Hang                  bool
	TokenStatus                       int
	TokenError, TokenErrorDescription string
	HTMLBody                          bool
	Redirect                          string
	// AfterGrant has Hang, TokenStatus, TokenError, HTMLBody and Redirect happen
	// after the grant instead: the refresh token is spent, and nothing is given.
	AfterGrant bool

	// What happens after the grant, so that a refresh token is spent: Delay waits
	// before the answer, Drop closes the connection, MalformedJSON cuts the answer
	// off, and HugeBody blows it up to more than 4 MiB.
	Delay                         time.Duration
	Drop, MalformedJSON, HugeBody bool
	// What is left out of a good answer. OmitIDToken is for refresh grants and
	// OmitIDTokenAtLogin for code grants.
	OmitAccessToken, OmitRefreshToken, OmitIDToken, OmitIDTokenAtLogin, OmitExpiresIn bool
	// ExpiresIn is told instead of the true one, in seconds; zero is the true one.
	// ExpiresInString tells it as a JSON string.
	ExpiresIn       int
	ExpiresInString bool
	// TokenType is told instead of Bearer.
	TokenType string
	// RewriteTokenAnswer replaces the bytes of a good answer.
	RewriteTokenAnswer func([]byte) []byte

	// NoRefreshTokens gives none at sign-in. NoRotation leaves a refresh token good
	// and gives no other. NoReuseDetection refuses a spent one and lets the grant
	// live. ReuseGrace takes a spent one for so long after it was spent, and
	// ReuseError is the code for one that is refused; "" is invalid_grant.
	NoRefreshTokens, NoRotation, NoReuseDetection bool
	ReuseGrace                                    time.Duration
	ReuseError                                    string

	// ChangedSubject is the sub of ID tokens of refresh grants.
	ChangedSubject string
	// OpaqueAccessTokens are random text instead of JWTs.
	OpaqueAccessTokens bool
	// Mutate functions change what is about to be signed, and Sign functions sign
	// in the provider's place, after them: what they return is the token.
	MutateIDToken, MutateAccessToken, MutateLogoutToken func(header, claims map[string]any)
	SignIDToken, SignAccessToken, SignLogoutToken       func(header, claims map[string]any) string

	// MutateMetadata and MutateJWKS change the documents before they are sent, and
	// RewriteJWKS the bytes of the keys. DiscoveryStatus and JWKSStatus answer with
	// that status instead.
	MutateMetadata, MutateJWKS  func(map[string]any)
	RewriteJWKS                 func([]byte) []byte
	DiscoveryStatus, JWKSStatus int

	// UserinfoStatus answers with that status. UserinfoClaims replace single claims;
	// nil takes one away. SignedUserinfo answers with a JWT, and SignUserinfo signs
	// it in the provider's place.
	UserinfoStatus int
	UserinfoClaims map[string]any
	SignedUserinfo bool
	SignUserinfo   func(header, claims map[string]any) string

	// RefuseAuthorize sends the browser back with that error code. OmitIss leaves
	// iss out of the authorization response, WrongIss sends another, and
	// MutateCallback changes all of it, last.
	RefuseAuthorize string
	OmitIss         bool
	WrongIss        string
	MutateCallback  func(url.Values)

	// Endpoints that do not exist, and are not in the metadata.
	NoPAR, NoEndSession, NoRevocation, NoIntrospection bool
	// PARStatus and RevocationStatus answer with that status and do nothing.
	PARStatus, RevocationStatus int

	// NoDPoP takes no notice of proofs (RFC 9449) and binds no token. GrantNonce and
	// UserinfoNonce are wanted in the proofs there; "" wants none.
	NoDPoP                    bool
	GrantNonce, UserinfoNonce string

	// NotifyInitiator sends a logout token also to the client at which the user
	// signed out.
	NotifyInitiator bool
}

// Turn changes the knobs. Requests that are under way keep those they began with.
func (p *Provider) Turn(change func(*Knobs)) {
	p.turning.Lock()
	defer p.turning.Unlock()
	k := *p.knobs.Load()
	change(&k)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.knobs.Store(&k)
	p.faulty = 0
}

// Knobs returns how they are turned now.
func (p *Provider) Knobs() Knobs { return *p.knobs.Load() }

// tokenKnobs are those for one token request: none, where they are meant for
// others.
func (p *Provider) tokenKnobs(refresh bool) *Knobs {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.knobs.Load()
	if k.OnlyRefresh && !refresh || k.Times > 0 && p.faulty >= k.Times {
		return &Knobs{}
	}
	p.faulty++
	return k
}
