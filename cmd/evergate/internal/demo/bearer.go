package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// bearer is an access token as a legacy app sees it: read, not verified.
type bearer struct {
	// digest names the token here; the token itself is never kept.
	digest [sha256.Size]byte
	// claims are nil where the token is not a JWT.
	claims map[string]any
}

// readBearer returns the Bearer token (RFC 6750 section 2.1) of an
// Authorization header, or nil where there is none.
func readBearer(authorization string) *bearer {
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil
	}
	return &bearer{digest: sha256.Sum256([]byte(token)), claims: readClaims(token)}
}

// readClaims returns the claims of a JWT (RFC 7519) without a look at its
// signature, or nil if token is none.
func readClaims(token string) map[string]any {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims map[string]any
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber() // a float64 would show 1.7e+09
	if d.Decode(&claims) != nil {
		return nil
	}
	return claims
}

// name is a short name for the token, to tell it from others on the page.
func (b *bearer) name() string {
	if jti := b.text("jti"); jti != "" {
		return clip(jti, 8)
	}
	return fmt.Sprintf("%x", b.digest[:4])
}

func (b *bearer) text(claim string) string {
	s, _ := b.claims[claim].(string)
	return s
}

// time returns a NumericDate claim, or the zero time.
func (b *bearer) time(claim string) time.Time {
	n, ok := b.claims[claim].(json.Number)
	if !ok {
		return time.Time{}
	}
	seconds, err := n.Float64()
	if err != nil || seconds <= 0 || seconds > 253402300799 { // the end of year 9999: JSON knows no later time
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC()
}

// row is a name and a value in one of the page's tables.
type row struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Note explains the value, or is "".
	Note string `json:"note,omitempty"`
}

// rows returns the claims by name, as text.
func (b *bearer) rows() []row {
	var out []row
	for _, name := range slices.Sorted(maps.Keys(b.claims)) {
		r := row{Name: name, Value: claimText(b.claims[name])}
		switch name {
		case "iat", "exp", "nbf", "auth_time":
			if t := b.time(name); !t.IsZero() {
				r.Note = clock(t)
			}
		}
		out = append(out, r)
	}
	return out
}

// claimText shows a string as it is and everything else as JSON.
func claimText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // the template and textContent escape
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(buf.String(), "\n")
}

// clock writes a time for people. The zero time is "unknown".
func clock(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("15:04:05 UTC")
}

// clip keeps the first n characters of s.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}
