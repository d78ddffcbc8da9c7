package auth

import (
	"context"
	"net/url"
	"time"

	"github.com/evergate/evergate/internal/dpop"
)

// Redirector is a way to sign in at a provider that has pages of its own: the
// authorization code flow (OIDC Core section 3.1). oidc.Method is one.
type Redirector interface {
	// Begin returns the address to send the browser to. The error is a
	// *Unavailable, or a *Refused if the provider takes no request like this one.
	Begin(ctx context.Context, f Flow) (string, error)
	// Complete makes a Login of what the browser brought back from the provider
	// in the query of the callback. The error is a *Refused, a *Unavailable, or a
	// *Denied together with the Login that was good and may not sign in here.
	Complete(ctx context.Context, f Flow, answer url.Values) (*Login, error)
}

// Flow is one attempt to sign in at a provider. It lives in a sealed cookie of
// the browser that began it.
type Flow struct {
	// State goes to the provider and back (RFC 6749 section 4.1.1).
	State string
	// Nonce comes back in the ID token (OIDC Core section 3.1.2.1).
	Nonce string
	// Verifier is the PKCE code verifier (RFC 7636 section 4.1).
	Verifier string
	// Key is what the tokens of the session are to be bound to (RFC 9449 section 10). Nil
	// binds them to none that is known so early.
	Key *dpop.Key
	// RedirectURI is where the provider sends the browser back to.
	RedirectURI string
	// Prompt asks the provider to show something, such as "select_account"; "" is
	// what the configuration says.
	Prompt string
	// ACRValues are authentication context classes to ask for, separated by spaces; "" is
	// what the configuration says (OIDC Core section 3.1.2.1).
	ACRValues string
	// MaxAge bounds how long ago the person proved at the provider who they are, in
	// seconds (OIDC Core section 3.1.2.1); "" is what the configuration says.
	MaxAge string
	// Started is when the attempt began, by the gateway's clock.
	Started time.Time
}
