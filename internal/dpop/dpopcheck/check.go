// Package dpopcheck checks proofs as a server does (RFC 9449 section 4.3): for the demo's
// provider, and for tests. It has nothing in common with what makes proofs but the standard.
package dpopcheck

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"
)

// MaxAge is how old a proof may be.
const MaxAge = 5 * time.Minute

var b64 = base64.RawURLEncoding.Strict()

// Want is what a proof has to be for.
type Want struct {
	Method, URL string
	// Token is the access token that came along; "" is none, and then there must be no ath.
	Token string
	// Nonce has to be in it; "" takes any and none.
	Nonce string
	// Thumbprint is that of the key; "" is any.
	Thumbprint string
	// Time is now.
	Time time.Time
}

// Proof is what a good one says.
type Proof struct{ ID, Thumbprint, Nonce string }

// ErrNonce is the error for a proof that is good but for its nonce.
var ErrNonce = errors.New("its nonce is not the one that is wanted")

// Verify checks a proof.
func Verify(proof string, want Want) (Proof, error) {
	parts := strings.Split(proof, ".")
	if len(parts) != 3 {
		return Proof{}, errors.New("it is no JWT")
	}
	var header struct {
		Typ, Alg string
		JWK      map[string]string
	}
	var claims struct {
		ID     string `json:"jti"`
		Method string `json:"htm"`
		URL    string `json:"htu"`
		Issued int64  `json:"iat"`
		Token  string `json:"ath"`
		Nonce  string `json:"nonce"`
	}
	for i, into := range []any{&header, &claims} {
		text, err := b64.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			return Proof{}, fmt.Errorf("part %d: %w", i, err)
		}
	}
	if header.Typ != "dpop+jwt" || header.Alg != "ES256" || header.JWK["kty"] != "EC" || header.JWK["crv"] != "P-256" || header.JWK["d"] != "" {
		return Proof{}, fmt.Errorf("its header is %+v", header)
	}
	if err := signed(header.JWK, parts); err != nil {
		return Proof{}, err
	}
	p := Proof{ID: claims.ID, Thumbprint: Thumbprint(header.JWK), Nonce: claims.Nonce}
	age := want.Time.Sub(time.Unix(claims.Issued, 0))
	ath := ""
	if want.Token != "" {
		sum := sha256.Sum256([]byte(want.Token))
		ath = b64.EncodeToString(sum[:])
	}
	switch {
	case claims.ID == "":
		return p, errors.New("it has no jti")
	case claims.Method != want.Method:
		return p, fmt.Errorf("its htm is %q, want %q", claims.Method, want.Method)
	case claims.URL != want.URL:
		return p, fmt.Errorf("its htu is %q, want %q", claims.URL, want.URL)
	case claims.Token != ath:
		return p, errors.New("its ath is that of another token")
	case age > MaxAge || age < -time.Minute:
		return p, fmt.Errorf("it is %s old", age)
	case want.Thumbprint != "" && p.Thumbprint != want.Thumbprint:
		return p, errors.New("it is of another key")
	case want.Nonce != "" && claims.Nonce != want.Nonce:
		return p, ErrNonce
	}
	return p, nil
}

func signed(jwk map[string]string, parts []string) error {
	x, errX := b64.DecodeString(jwk["x"])
	y, errY := b64.DecodeString(jwk["y"])
	signature, err := b64.DecodeString(parts[2])
	if err := errors.Join(errX, errY, err); err != nil || len(x) != 32 || len(y) != 32 || len(signature) != 64 {
		return errors.New("its key or signature has another size")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("its signature is not that of its key")
	}
	return nil
}

// Thumbprint is that of a JWK on P-256 (RFC 7638).
func Thumbprint(jwk map[string]string) string {
	sum := sha256.Sum256([]byte(`{"crv":"` + jwk["crv"] + `","kty":"` + jwk["kty"] + `","x":"` + jwk["x"] + `","y":"` + jwk["y"] + `"}`))
	return b64.EncodeToString(sum[:])
}

// Server takes proofs for requests with tokens as a resource server does (RFC 9449
// sections 7 and 9). Its fields are set before the first request.
type Server struct {
	// URL is how it knows itself: scheme, host, and a path in front; "" is "http://" and the
	// Host of each request.
	URL string
	// Bound is the thumbprint that a token is bound to, or "" for one that is not known.
	Bound func(token string) string
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu    sync.Mutex // guards what follows
	nonce string
	next  string          // told with the next good answer, and wanted from then on
	seen  map[string]bool // jti
	again int
}

// Rotate has the server want another nonce; "" wants none.
func (s *Server) Rotate(nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nonce = nonce
}

// Tell has the server tell another nonce with the next answer, and want it from then on.
func (s *Server) Tell(nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = nonce
}

// Repeated is how often a proof came that had come before.
func (s *Server) Repeated() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again
}

// Check looks at a request, and says in the header of its answer what is wrong, which it
// returns as well; "" is nothing.
func (s *Server) Check(header http.Header, r *http.Request) (code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	code, why := s.check(r)
	if s.next != "" {
		s.nonce, s.next = s.next, ""
	}
	if s.nonce != "" {
		header.Set("DPoP-Nonce", s.nonce)
	}
	if code != "" {
		header.Set("WWW-Authenticate", fmt.Sprintf("DPoP error=%q, error_description=%q, algs=\"ES256\"", code, why))
	}
	return code
}

func (s *Server) check(r *http.Request) (code, why string) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP ")
	switch {
	case !ok || len(r.Header["Authorization"]) != 1:
		return "invalid_token", "want one Authorization header of the scheme DPoP"
	case len(r.Header["Dpop"]) != 1:
		return "invalid_dpop_proof", fmt.Sprintf("want one proof, got %d", len(r.Header["Dpop"]))
	}
	bound := s.Bound(token)
	if bound == "" {
		return "invalid_token", "the token is not known, or bound to nothing"
	}
	base := s.URL
	if base == "" {
		base = "http://" + r.Host
	}
	got, err := Verify(r.Header["Dpop"][0], Want{Method: r.Method, URL: base + r.URL.EscapedPath(), Token: token, Nonce: s.nonce, Thumbprint: bound, Time: now()})
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	if got.ID != "" && s.seen[got.ID] {
		s.again++
		return "invalid_dpop_proof", "it came before"
	}
	s.seen[got.ID] = true
	switch {
	case errors.Is(err, ErrNonce):
		return "use_dpop_nonce", err.Error()
	case err != nil:
		return "invalid_dpop_proof", err.Error()
	}
	return "", ""
}
