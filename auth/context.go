package auth

import "context"

type (
	contextKey struct{}
	glanceKey  struct{}
	fetchKey   struct{}
)

// WithGlance returns a context for a request that asks how a session is and is no use
// of it: the idle clock stands where it is, and nothing is renewed.
func WithGlance(ctx context.Context) context.Context {
	return context.WithValue(ctx, glanceKey{}, true)
}

// IsGlance reports whether ctx is from WithGlance.
func IsGlance(ctx context.Context) bool { return ctx.Value(glanceKey{}) != nil }

// WithFetch returns a context for a request that is made for nothing but the cookie that
// is due, see Session.Due.
func WithFetch(ctx context.Context) context.Context {
	return context.WithValue(ctx, fetchKey{}, true)
}

// IsFetch reports whether ctx is from WithFetch.
func IsFetch(ctx context.Context) bool { return ctx.Value(fetchKey{}) != nil }

// NewContext returns a context that carries login.
func NewContext(ctx context.Context, login *Login) context.Context {
	return context.WithValue(ctx, contextKey{}, login)
}

// FromContext returns the Login of the request, or nil where nobody is signed in.
func FromContext(ctx context.Context) *Login {
	login, _ := ctx.Value(contextKey{}).(*Login)
	return login
}
