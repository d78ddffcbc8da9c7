package proxy

import (
	"net/http"

	"github.com/evergate/evergate/auth"
)

// ShownHeader is the header by which an answer tells what was decided about its request,
// where an operator has asked for that. An upstream's own never gets through.
const ShownHeader = "X-Evergate-Decision"

// Observes reports whether d compares: there are rules that are only observed, and what
// became of the request is what the others say of it. A detour and an outage are not, nor
// is the way round by which a host is handed a session.
func (d *Decision) Observes() bool {
	if d.Observed == "" {
		return false
	}
	switch d.Outcome {
	case Allowed, Public, StepUp, Denied:
		return true
	case SignIn:
		absent, ok := d.Err.(*auth.Absent)
		return !ok || absent.Reason != auth.Unconfirmed
	}
	return false
}

// Differs reports whether the rules that are only observed would have it otherwise.
func (d *Decision) Differs() bool { return d.Observes() && d.Observed != d.Outcome }

// show has the answer say what was decided.
func (c *carriage) show(h http.Header) {
	if c.shown != nil {
		h[ShownHeader] = c.shown
	}
}
