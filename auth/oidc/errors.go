package oidc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/evergate/evergate/auth"
)

// Error is an answer of a provider that is neither a clear no nor an outage: it
// says that the request was wrong. A session is kept through it until max_stale.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is the error code (RFC 6749 section 5.2), or "".
	Code string
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the provider answered %d", e.Status)
	}
	return fmt.Sprintf("the provider answered %d %s", e.Status, e.Code)
}

// unavailable is an outage of this provider.
func (m *Method) unavailable(err error) *auth.Unavailable {
	return &auth.Unavailable{What: m.cfg.Name, Err: err}
}

// outage notes that the provider does not answer, for State.
func (m *Method) outage(err error) *auth.Unavailable {
	m.trouble.Store(&trouble{at: m.cfg.Now(), text: err.Error()})
	return m.unavailable(err)
}

// refusal sorts an answer of the token endpoint that is not 200, by its status
// and its error code alone.
func (m *Method) refusal(ctx context.Context, a *answer) error {
	var body struct {
		Code string `json:"error"`
	}
	known := a.decode(&body) == nil && isCode(body.Code)
	if !known {
		body.Code = ""
	}
	err := &Error{Status: a.status, Code: body.Code}
	switch {
	case a.status == http.StatusTooManyRequests, a.status >= 500, a.status < 400,
		body.Code == "temporarily_unavailable", body.Code == "server_error", body.Code == "slow_down":
		u := m.outage(err)
		u.RetryAfter = a.retryAfter()
		return u
	case body.Code == "invalid_grant",
		m.cfg.Kind == KindDex && a.status == http.StatusBadRequest && body.Code == "invalid_request":
		return &auth.Refused{Reason: err.Error(), Code: body.Code}
	case body.Code == "invalid_client", body.Code == "unauthorized_client", a.status == http.StatusUnauthorized && body.Code == "":
		// The gateway's own credentials: nobody's session is to blame.
		m.cfg.Log.ErrorContext(ctx, "the provider does not accept this client; check client_id, client_auth and the secret or key, and whether it expired",
			"event", "provider.client_refused", "status", a.status, "code", body.Code)
		return m.outage(err)
	}
	return err
}

// isCode reports whether s can be an error code (RFC 6749 appendix A.7), fit for
// a log.
func isCode(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-") == ""
}

// isConnection reports whether err says that nobody was reached at all.
func isConnection(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}
