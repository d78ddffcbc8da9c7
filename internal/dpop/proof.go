package dpop

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Header is where a proof goes, in the spelling of net/http.
const Header = "Dpop"

// proofType is the typ of every proof (RFC 9449 section 4.2).
const proofType = "dpop+jwt"

// Request is what a proof is for.
type Request struct {
	// Method is that of the request, as it is sent.
	Method string
	// URL is the absolute address as the server knows itself. Its query and fragment are
	// not signed (RFC 9449 section 4.2, "htu").
	URL string
	// Token is the access token that goes along; "" where it is asked for yet.
	Token string
	// Nonce is what the server last wanted in its proofs; "" is nothing so far.
	Nonce string
	// Time is now.
	Time time.Time
}

// claims are those of a proof (RFC 9449 section 4.2).
type claims struct {
	ID     string `json:"jti"`
	Method string `json:"htm"`
	URL    string `json:"htu"`
	Issued int64  `json:"iat"`
	Token  string `json:"ath,omitempty"`
	Nonce  string `json:"nonce,omitempty"`
}

// Valid times are the server's to judge; jwt wants to be told of them all the same.
func (claims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (claims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (claims) GetIssuer() (string, error)                   { return "", nil }
func (claims) GetSubject() (string, error)                  { return "", nil }
func (claims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

// Prove signs a proof for one sending of r: a server takes none twice.
func (k *Key) Prove(r Request) (string, error) {
	if k == nil {
		return "", errors.New("prove the possession of a key: there is none")
	}
	address, _, _ := strings.Cut(r.URL, "#")
	address, _, _ = strings.Cut(address, "?")
	c := claims{ID: rand.Text(), Method: r.Method, URL: address, Issued: r.Time.Unix(), Nonce: r.Nonce}
	if r.Token != "" {
		c.Token = digest(r.Token)
	}
	proof := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	proof.Header["typ"], proof.Header["jwk"] = proofType, k.jwk
	signed, err := proof.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("prove the possession of a key: %w", err)
	}
	return signed, nil
}

// For is what a proof is for, in words for people: method and address. It checks nothing.
func For(proof string) string {
	var c claims
	if _, _, err := jwt.NewParser().ParseUnverified(proof, &c); err != nil {
		return "nothing that can be read"
	}
	return c.Method + " " + c.URL
}
