package auth

import "context"

type contextKey struct{}

// NewContext returns a context that carries login.
func NewContext(ctx context.Context, login *Login) context.Context {
	return context.WithValue(ctx, contextKey{}, login)
}

// FromContext returns the Login of the request, or nil where nobody is signed in.
func FromContext(ctx context.Context) *Login {
	login, _ := ctx.Value(contextKey{}).(*Login)
	return login
}
