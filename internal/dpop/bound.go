package dpop

import (
	"encoding/json"
	"errors"
	"strings"
)

// Bound says what is wrong with an access token that is to be bound to k, as far as a JWT
// tells (RFC 9449 section 6.1); of a token that is none nobody but the provider can tell.
// Its signature is for whom the token is for.
func (k *Key) Bound(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	var claims map[string]any
	if text, err := b64.DecodeString(parts[1]); err != nil || json.Unmarshal(text, &claims) != nil {
		return nil // it merely looks like one
	}
	confirmation, _ := claims["cnf"].(map[string]any)
	switch jkt, _ := confirmation["jkt"].(string); {
	case jkt == "":
		return errors.New("the access token is not bound to the key of the session: it has no cnf.jkt")
	case jkt != k.Thumbprint():
		return errors.New("the access token is bound to another key than that of the session")
	}
	return nil
}
