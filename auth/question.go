package auth

import (
	"net/http"
	"net/netip"
	"time"
)

// Question is what a Policy is asked: who, how they proved it, and what for. The zero
// value is nobody, for nothing in particular.
type Question struct {
	// Identity is who asks, or nil for nobody.
	Identity *Identity
	// AuthTime, AMR and ACR are those of their Login.
	AuthTime time.Time
	AMR      []string
	ACR      string

	// Method, Host and Path are the request's: the host in lower case and without a
	// port, the path canonical.
	Method, Host, Path string
	// Readings are other paths that an app may take Path for.
	Readings []string
	// Address is the client's.
	Address netip.Addr
	// Header is the request's, as the client sent it: nothing in it is proven. Nil is none.
	Header http.Header
	// Time is when the question is asked, by the gateway's clock. It may be zero for a Policy
	// that does not ask; see Policy.AsksWhen.
	Time time.Time
}

// Ask fills in who asks: login, or nobody where that is nil.
func (q *Question) Ask(login *Login) {
	q.Identity, q.AuthTime, q.AMR, q.ACR = nil, time.Time{}, nil, ""
	if login != nil {
		q.Identity, q.AuthTime, q.AMR, q.ACR = &login.Identity, login.AuthTime, login.AMR, login.ACR
	}
}
