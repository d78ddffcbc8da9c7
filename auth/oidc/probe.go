package oidc

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/dpop"
)

// ProbeOptions say how to ask.
type ProbeOptions struct {
	// RootCAs are for the provider's certificate; nil is the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one request; zero is 10 s.
	Timeout time.Duration
}

// Probed is what a provider says of itself.
type Probed struct {
	Issuer string
	// Kind is whose ways it probably has, by its address: "generic" if unknown.
	Kind string
	// PKCE says that it lists S256; not listing it does not mean that it has none.
	PKCE bool
	// RefreshTokens is "yes", "no" or, where it does not say, "unknown".
	RefreshTokens string
	// What it offers for signing out. BackchannelLogoutSession says that its logout
	// tokens name one session, and not all of a person's.
	EndSession, Revocation, BackchannelLogout, BackchannelLogoutSession bool
	// PAR and IssParameter say that it has RFC 9126 and RFC 9207.
	PAR, IssParameter bool
	// DPoP says that it lists ES256 for proofs (RFC 9449); some bind tokens for a client and
	// list nothing.
	DPoP bool
	// ClientAuthMethods are those it lists that Evergate has, the best first.
	ClientAuthMethods []string
	// Scopes to configure.
	Scopes []string
	// IDTokenAlgs are the algorithms of its ID tokens that Evergate believes.
	IDTokenAlgs []string
	// Keys is how many keys it publishes that can be used, Published how many at all.
	// KeyFits says that one is for an algorithm of IDTokenAlgs.
	Keys, Published int
	KeyFits         bool
	// ResponseTypes and ListedScopes are what it lists; nil lists nothing.
	ResponseTypes, ListedScopes []string
	// Took is how long the answer with the metadata took.
	Took time.Duration
	// Skew is how far its clock is ahead of ours, by the Date of that answer, and
	// SkewWithin how wrong that may be; zero where the answer had no Date.
	Skew, SkewWithin time.Duration
	// Warnings are in plain words.
	Warnings []string
}

// KeysError says that a provider's metadata were had, and its keys were not.
type KeysError struct{ Err error }

func (e *KeysError) Error() string { return e.Err.Error() }
func (e *KeysError) Unwrap() error { return e.Err }

// Probe asks a provider for its metadata and keys. With a *KeysError there is what the
// metadata say.
func Probe(ctx context.Context, issuer string, o ProbeOptions) (*Probed, error) {
	u, err := url.Parse(issuer)
	if err != nil || !safeURL(u, u) {
		return nil, fmt.Errorf("issuer %q: want https, or http on a loopback name", issuer)
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	m := &Method{cfg: Config{Name: "the provider", Issuer: issuer, Timeout: o.Timeout, RootCAs: o.RootCAs, Now: time.Now}}
	t := newTransport(&m.cfg)
	defer t.CloseIdleConnections()
	m.http = newClient(t)
	began := time.Now()
	a, err := m.get(ctx, wellKnown(issuer))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", wellKnown(issuer), err)
	}
	md, err := readMetadata(a, issuer)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", wellKnown(issuer), err)
	}
	p := &Probed{
		Issuer: md.Issuer, Kind: KindOf(u), PKCE: slices.Contains(md.PKCE, "S256"), RefreshTokens: "unknown",
		EndSession: md.EndSession != "", Revocation: md.Revocation != "", BackchannelLogout: md.Backchannel, BackchannelLogoutSession: md.BackchannelBySID,
		PAR: md.PAR != "", IssParameter: md.IssParameter, DPoP: slices.Contains(md.DPoPAlgs, dpop.Algorithm), Scopes: []string{"openid", "profile", "email"},
		ResponseTypes: md.ResponseTypes, ListedScopes: md.Scopes, Took: a.at.Sub(began),
	}
	p.Skew, p.SkewWithin = skew(a, began)
	switch {
	case slices.Contains(md.Grants, "refresh_token") || slices.Contains(md.Scopes, "offline_access"):
		p.RefreshTokens = "yes"
	case md.Grants != nil && p.Kind != KindGoogle:
		p.RefreshTokens = "no"
		p.Warnings = append(p.Warnings, "it lists grant types, and refresh_token is not among them: sessions would end with their first token")
	}
	if md.Scopes == nil || slices.Contains(md.Scopes, "offline_access") {
		p.Scopes = append(p.Scopes, "offline_access")
	}
	listed := md.AuthMethods
	if listed == nil {
		listed = []string{"client_secret_basic"} // what it means by listing none
	}
	for _, method := range []string{"private_key_jwt", "client_secret_basic", "client_secret_post"} {
		if slices.Contains(listed, method) {
			p.ClientAuthMethods = append(p.ClientAuthMethods, method)
		}
	}
	if p.ClientAuthMethods == nil {
		p.Warnings = append(p.Warnings, "it lists no way of client authentication that Evergate has")
	}
	if p.IDTokenAlgs = algsFor(md.IDTokenAlgs); len(p.IDTokenAlgs) == 0 {
		p.Warnings = append(p.Warnings, "it signs ID tokens with no algorithm that Evergate believes: want RS256, ES256 or EdDSA")
	}
	if !p.PKCE {
		p.Warnings = append(p.Warnings, "it does not list PKCE with S256; Evergate sends it all the same, and providers ignore what they do not know")
	}
	if !p.EndSession {
		p.Warnings = append(p.Warnings, "it lists no end_session_endpoint: signing out of Evergate leaves people signed in there")
	}
	if err := p.askKeys(ctx, m, md.Keys); err != nil {
		return p, &KeysError{err}
	}
	return p, nil
}

func (p *Probed) askKeys(ctx context.Context, m *Method, address string) error {
	a, err := m.get(ctx, address)
	if err != nil {
		return fmt.Errorf("ask %s: %w", address, err)
	}
	set, err := readKeys(a)
	if err != nil {
		return fmt.Errorf("read %s: %w", address, err)
	}
	var all struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := a.decode(&all); err != nil {
		return fmt.Errorf("read %s: %w", address, err)
	}
	p.Keys, p.Published = len(set.keys), len(all.Keys)
	p.KeyFits = slices.ContainsFunc(set.keys, func(k publicKey) bool { return slices.ContainsFunc(p.IDTokenAlgs, k.fits) })
	return nil
}

// skew reads the clock of whoever made an answer to what was asked at began. Date has
// whole seconds (RFC 9110 section 6.6.1), and a copy that a cache kept is older by its Age
// (RFC 9111 section 5.1).
func skew(a *answer, began time.Time) (ahead, within time.Duration) {
	said, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return 0, 0
	}
	if age, err := strconv.ParseUint(strings.TrimSpace(a.header.Get("Age")), 10, 31); err == nil {
		said = said.Add(time.Duration(age) * time.Second)
	}
	took := a.at.Sub(began)
	return said.Add(500 * time.Millisecond).Sub(began.Add(took / 2)), took/2 + 500*time.Millisecond
}

// KindOf guesses whose provider is at an issuer's address.
func KindOf(issuer *url.URL) string {
	host := strings.ToLower(issuer.Hostname())
	for suffix, kind := range map[string]string{
		"accounts.google.com": KindGoogle, "login.microsoftonline.com": "entra", "sts.windows.net": "entra",
		"okta.com": "okta", "oktapreview.com": "okta", "auth0.com": "auth0", "gitlab.com": "gitlab",
	} {
		if host == suffix || strings.HasSuffix(host, "."+suffix) {
			return kind
		}
	}
	switch {
	case strings.Contains(issuer.Path, "/realms/"):
		return "keycloak"
	case strings.HasSuffix(issuer.Path, "/dex"):
		return KindDex
	}
	return "generic"
}
