package attacks

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// idtokenClaims are those of a JWT, whoever signed it.
func idtokenClaims(t *testing.T, raw string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("got %.80q, want a JWT", raw)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &claims) != nil {
		t.Fatalf("the claims of %.80q cannot be read", raw)
	}
	return claims
}
