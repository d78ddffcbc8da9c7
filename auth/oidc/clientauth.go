package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// assertionLife is how long a client assertion is good. It is used at once.
const assertionLife = time.Minute

// assertion signs what private_key_jwt proves the client with (RFC 7523
// section 3).
type assertion struct {
	key  crypto.Signer
	algs []jwt.SigningMethod // the preferred first
	kid  string
	jwks []byte
}

func newAssertion(key crypto.Signer) (*assertion, error) {
	a := &assertion{key: key}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < leastRSA {
			return nil, fmt.Errorf("oidc: the client key is RSA with %d bits; want %d or more", k.N.BitLen(), leastRSA)
		}
		a.algs = []jwt.SigningMethod{jwt.SigningMethodPS256, jwt.SigningMethodRS256}
	case *ecdsa.PrivateKey:
		method, ok := map[int]jwt.SigningMethod{256: jwt.SigningMethodES256, 384: jwt.SigningMethodES384, 521: jwt.SigningMethodES512}[k.Curve.Params().BitSize]
		if !ok {
			return nil, errors.New("oidc: the client key is on a curve that JWTs do not use; want P-256")
		}
		a.algs = []jwt.SigningMethod{method}
	case ed25519.PrivateKey:
		a.algs = []jwt.SigningMethod{jwt.SigningMethodEdDSA}
	default:
		return nil, errors.New("oidc: private_key_jwt needs a private key: RSA, P-256 or Ed25519")
	}
	public := key.Public()
	jwk, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{USE: jwkset.UseSig}})
	if err != nil {
		return nil, fmt.Errorf("oidc: the client key: %w", err)
	}
	// The key is named by what it is (RFC 7638), so that nobody has to.
	marshal := jwk.Marshal()
	if a.kid, err = thumbprint(&marshal); err != nil {
		return nil, err
	}
	marshal.KID, marshal.ALG = a.kid, ""
	if a.jwks, err = json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{marshal}}); err != nil {
		return nil, fmt.Errorf("oidc: the client key: %w", err)
	}
	return a, nil
}

func thumbprint(m *jwkset.JWKMarshal) (string, error) {
	var members any
	switch m.KTY {
	case jwkset.KtyRSA:
		members = struct {
			E   string `json:"e"`
			KTY string `json:"kty"`
			N   string `json:"n"`
		}{m.E, "RSA", m.N}
	case jwkset.KtyEC:
		members = struct {
			CRV string `json:"crv"`
			KTY string `json:"kty"`
			X   string `json:"x"`
			Y   string `json:"y"`
		}{string(m.CRV), "EC", m.X, m.Y}
	default:
		members = struct {
			CRV string `json:"crv"`
			KTY string `json:"kty"`
			X   string `json:"x"`
		}{string(m.CRV), "OKP", m.X}
	}
	b, err := json.Marshal(members)
	if err != nil {
		return "", fmt.Errorf("oidc: name the client key: %w", err)
	}
	return sha256Text(b), nil
}

// ClientJWKS is the public half of the client key as a JWK set (RFC 7517), to be
// registered or fetched by the provider, or nil.
func (m *Method) ClientJWKS() []byte {
	if m.assert == nil {
		return nil
	}
	return slices.Clone(m.assert.jwks)
}

// authenticate puts into form what proves the client, unless the header does.
func (m *Method) authenticate(form url.Values, address string, md *metadata) error {
	switch m.cfg.ClientAuth {
	case ClientSecretPost:
		form.Set("client_id", m.cfg.ClientID)
		form.Set("client_secret", m.cfg.ClientSecret.Reveal())
	case PrivateKeyJWT:
		audience := m.cfg.Issuer
		if m.cfg.Kind == KindOkta || m.cfg.Kind == KindEntra {
			audience = address // both document the endpoint's own address
		}
		signed, err := m.assert.sign(m.cfg.ClientID, audience, m.cfg.Now(), md.AuthAlgs)
		if err != nil {
			return err
		}
		form.Set("client_id", m.cfg.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", signed)
	}
	return nil
}

// sign makes an assertion for one use. Its audience is the issuer and nothing
// else where the provider takes that, so that no other provider can be made to use
// it: endpoints are what metadata say, and an issuer is who somebody is.
func (a *assertion) sign(clientID, audience string, now time.Time, supported []string) (string, error) {
	method := a.algs[len(a.algs)-1]
	for _, alg := range a.algs {
		if slices.Contains(supported, alg.Alg()) {
			method = alg
			break
		}
	}
	t := jwt.NewWithClaims(method, jwt.RegisteredClaims{
		Issuer: clientID, Subject: clientID, Audience: jwt.ClaimStrings{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(assertionLife)),
	})
	t.Header["kid"] = a.kid
	signed, err := t.SignedString(a.key)
	if err != nil {
		return "", fmt.Errorf("sign the client assertion: %w", err)
	}
	return signed, nil
}
