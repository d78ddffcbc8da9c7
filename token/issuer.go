package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
)

// ClientID is the client_id claim of every token: the gateway is the client.
const ClientID = "evergate"

// MaxTTL bounds the life of a token, and with it how long a key stays published that
// signs no more, whatever TTL another gateway has or this one had before.
const MaxTTL = 24 * time.Hour

// Config is what an Issuer is made of.
type Config struct {
	// Issuer is the iss claim, public_url/.evergate; metadata and keys are
	// published under it.
	Issuer string
	// Audience is the aud claim where Mint is not told another.
	Audience string
	// TTL is the life of a token, in whole seconds: JWT times have no fractions
	// that every library reads. At most MaxTTL.
	TTL time.Duration
	// Keys sign.
	Keys *Keys
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Issuer signs access tokens. It implements auth.Minter.
type Issuer struct{ cfg Config }

var _ auth.Minter = (*Issuer)(nil)

// NewIssuer returns an Issuer.
func NewIssuer(cfg Config) (*Issuer, error) {
	if cfg.Issuer == "" || cfg.Audience == "" || cfg.Keys == nil || cfg.TTL < time.Second || cfg.TTL > MaxTTL {
		return nil, errors.New("token: an Issuer needs an issuer, an audience, keys, and a ttl of a second to a day")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.TTL = cfg.TTL.Truncate(time.Second)
	return &Issuer{cfg}, nil
}

// Claims are those of an access token (RFC 9068 section 2.2).
type Claims struct {
	jwt.RegisteredClaims
	ClientID          string           `json:"client_id"`
	AuthTime          *jwt.NumericDate `json:"auth_time,omitempty"`
	AMR               []string         `json:"amr,omitempty"`
	ACR               string           `json:"acr,omitempty"`
	Groups            []string         `json:"groups,omitempty"`
	Email             string           `json:"email,omitempty"`
	EmailVerified     *bool            `json:"email_verified,omitempty"`
	Name              string           `json:"name,omitempty"`
	PreferredUsername string           `json:"preferred_username,omitempty"`
}

// headerType is the typ of RFC 9068 section 2.1: it keeps an access token from
// being taken for an ID token.
const headerType = "at+jwt"

// Mint implements auth.Minter. The error is an *auth.Unavailable as long as shared keys
// were never within reach.
func (i *Issuer) Mint(_ context.Context, login *auth.Login, audience string) (auth.Token, error) {
	if audience == "" {
		audience = i.cfg.Audience
	}
	set, err := i.cfg.Keys.load()
	if err != nil {
		return auth.Token{}, err
	}
	now := i.cfg.Now()
	k, issued := set.signing(now), now.Truncate(time.Second)
	expires := issued.Add(i.cfg.TTL)
	who := &login.Identity
	c := Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: i.cfg.Issuer, Subject: who.User, Audience: jwt.ClaimStrings{audience}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(issued), ExpiresAt: jwt.NewNumericDate(expires),
		},
		ClientID: ClientID, AMR: login.AMR, ACR: login.ACR,
		Groups: who.Groups, Email: who.Email, Name: who.Name, PreferredUsername: who.PreferredUsername,
	}
	if !login.AuthTime.IsZero() {
		c.AuthTime = jwt.NewNumericDate(login.AuthTime)
	}
	if who.Email != "" {
		c.EmailVerified = &who.EmailVerified
	}
	t := jwt.NewWithClaims(k.method, c)
	t.Header["typ"], t.Header["kid"] = headerType, k.id
	signed, err := t.SignedString(k.signer)
	if err != nil {
		return auth.Token{}, fmt.Errorf("token: sign an access token: %w", err)
	}
	return auth.Token{Value: secret.New(signed), Issued: issued, Expires: expires}, nil
}
