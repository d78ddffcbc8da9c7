package idp

import (
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The ways a client authenticates (OIDC Core section 9).
const (
	ClientSecretBasic = "client_secret_basic"
	ClientSecretPost  = "client_secret_post"
	PrivateKeyJWT     = "private_key_jwt"
)

// Config is what a Provider is made of.
type Config struct {
	// Issuer is the provider's URL, without query and fragment. All endpoints are
	// below it.
	Issuer  string
	Clients []Client
	Users   []User
	// Scopes are known beside openid, profile, email, groups and offline_access.
	Scopes []string
	// SigningAlg is RS256 or ES256; "" is RS256. One key signs all that is signed.
	SigningAlg string
	// AccessTTL, IDTTL and RefreshTTL are how long tokens live. Zero is 5 minutes,
	// 1 hour and 24 hours.
	AccessTTL, IDTTL, RefreshTTL time.Duration
	// Note is shown on the sign-in page; "" shows none.
	Note string
	// Now is the clock; nil is time.Now. Waits do not go by it.
	Now func() time.Time
	// HTTP sends logout tokens and fetches the keys of clients; nil is a client
	// that waits 10 seconds and follows no redirect.
	HTTP *http.Client
}

// Client is a relying party. All fields are exact; nothing is a pattern.
type Client struct {
	ID string
	// Auth is one of the ways above; "" is client_secret_basic. No other is taken.
	Auth   string
	Secret string
	// Keys check the assertions of private_key_jwt, by key id. JWKS is a JWK set
	// that adds to them, and JWKSURI is where to look for a key id that is in
	// neither.
	Keys    map[string]crypto.PublicKey
	JWKS    []byte
	JWKSURI string
	// AuthAlg pins the algorithm of assertions; "" is any that the kind of key is
	// for: RS256 and PS256, ES256, or EdDSA.
	AuthAlg string

	// DPoP gives it no token that is not bound to a key (RFC 9449 section 5.2).
	DPoP bool

	RedirectURIs           []string
	PostLogoutRedirectURIs []string
	// BackchannelLogoutURI takes logout tokens; "" gets none.
	BackchannelLogoutURI string
	// Audiences of its ID tokens beside itself. With any, there is an azp.
	Audiences []string
}

// User is somebody who can sign in.
type User struct {
	// Subject identifies the user to clients, and is never reassigned.
	Subject            string
	Username, Password string
	// Name is for the scope profile, Email and EmailVerified for email, and Groups
	// for groups and profile.
	Name, Email   string
	EmailVerified bool
	Groups        []string
	// Claims are added whatever the scope, and come before those above.
	Claims map[string]any
}

// withDefaults fills in zeroes and reports what cannot work.
func (c Config) withDefaults() (Config, *url.URL, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return c, nil, fmt.Errorf("idp: issuer %q: want an http or https URL without query and fragment", c.Issuer)
	}
	for ttl, def := range map[*time.Duration]time.Duration{&c.AccessTTL: 5 * time.Minute, &c.IDTTL: time.Hour, &c.RefreshTTL: 24 * time.Hour} {
		if *ttl <= 0 {
			*ttl = def
		}
	}
	if c.SigningAlg == "" {
		c.SigningAlg = "RS256"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{
			Timeout:       10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	c.Scopes = append([]string{"openid", "profile", "email", "groups", "offline_access"}, c.Scopes...)
	return c, u, nil
}

// checked returns the client with its keys read, or why it cannot be one.
func (c Client) checked() (Client, error) {
	if c.Auth == "" {
		c.Auth = ClientSecretBasic
	}
	switch {
	case c.ID == "":
		return c, errors.New("idp: a client needs an id")
	case !slices.Contains([]string{ClientSecretBasic, ClientSecretPost, PrivateKeyJWT}, c.Auth):
		return c, fmt.Errorf("idp: client %q: auth %q is not known", c.ID, c.Auth)
	case c.Auth != PrivateKeyJWT && c.Secret == "":
		return c, fmt.Errorf("idp: client %q needs a secret", c.ID)
	case c.Auth == PrivateKeyJWT && len(c.Keys) == 0 && len(c.JWKS) == 0 && c.JWKSURI == "":
		return c, fmt.Errorf("idp: client %q needs keys", c.ID)
	}
	for _, uri := range slices.Concat(c.RedirectURIs, c.PostLogoutRedirectURIs) {
		if u, err := url.Parse(uri); err != nil || !u.IsAbs() || strings.Contains(uri, "#") {
			return c, fmt.Errorf("idp: client %q: redirect URI %q: want an absolute one without fragment", c.ID, uri)
		}
	}
	if len(c.JWKS) > 0 {
		keys, err := readJWKS(c.JWKS)
		if err != nil {
			return c, fmt.Errorf("idp: client %q: %w", c.ID, err)
		}
		for kid, key := range c.Keys {
			keys[kid] = key
		}
		c.Keys = keys
	}
	return c, nil
}

func (u User) checked() error {
	if u.Subject == "" || u.Username == "" || u.Password == "" {
		return fmt.Errorf("idp: user %q needs a subject, a username and a password", u.Username)
	}
	return nil
}
