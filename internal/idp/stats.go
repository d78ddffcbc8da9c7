package idp

import (
	"net/url"
	"slices"
)

// Stats counts what was asked of a provider, and keeps what clients sent last.
// Requests are counted as they come in, also those that a knob spoils; grants are
// counted when they are made.
type Stats struct {
	Discoveries, JWKSFetches           int
	Authorizations, PARs               int
	TokenRequests                      int // of all grant types
	CodeGrants, RefreshGrants          int
	Exchanges                          int // token exchanges (RFC 8693) that were made
	RefreshRefused                     int // for what was sent, not for a knob
	ReuseDetected                      int // grants that died of a code or token sent twice
	Revocations                        int
	Userinfos, Introspections, Logouts int
	// Proofs counts those of keys (RFC 9449) that were good, and ProofsRepeated those that had
	// come before.
	Proofs, ProofsRepeated int
	// LogoutTokens counts those that were sent to clients.
	LogoutTokens int
	// MaxConcurrentRefreshPerGrant is the most refresh requests of one grant that
	// were ever under way at once.
	MaxConcurrentRefreshPerGrant int

	// LastAuthorize is the last authorization request that was valid, and
	// LastAuthorizeQuery what went through the browser for it: with PAR that is
	// less.
	LastAuthorize, LastAuthorizeQuery url.Values
	// LastTokenForm is the last body at the token endpoint, with all secrets in it.
	LastTokenForm url.Values
	// LastTokenAuthHeader says that it came with an Authorization header, and
	// LastTokenAuthMethods names all the ways in which its client authenticated.
	LastTokenAuthHeader  bool
	LastTokenAuthMethods []string
	// LastPAR, LastRevocation and LastEndSession are those forms.
	LastPAR, LastRevocation, LastEndSession url.Values
}

// Stats returns the counters as they are now.
func (p *Provider) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	for _, v := range []*url.Values{&s.LastAuthorize, &s.LastAuthorizeQuery, &s.LastTokenForm, &s.LastPAR, &s.LastRevocation, &s.LastEndSession} {
		*v = cloneValues(*v)
	}
	s.LastTokenAuthMethods = slices.Clone(s.LastTokenAuthMethods)
	return s
}

// ResetStats sets all counters to zero.
func (p *Provider) ResetStats() { p.count(func(s *Stats) { *s = Stats{} }) }

func (p *Provider) count(what func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what(&p.stats)
}

func cloneValues(v url.Values) url.Values {
	if v == nil {
		return nil
	}
	c := make(url.Values, len(v))
	for name, values := range v {
		c[name] = slices.Clone(values)
	}
	return c
}
