package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/evergate/evergate/internal/event"
)

// byToken is the actor of what is done with the operator's token.
const byToken = "token"

// Tell tells of an event: its line in the log, and whoever listens.
type Tell func(ctx context.Context, level slog.Level, msg string, e event.Event)

// tell tells of what the operator did by r.
func (a *API) tell(r *http.Request, level slog.Level, msg string, e event.Event) {
	if a.Tell != nil {
		e.Origin = Origin(r)
		a.Tell(r.Context(), level, msg, e)
	}
}

const maxHeader = 256 // bytes of one that are told

// Origin is a request to the admin listener, which has no access line.
func Origin(r *http.Request) (o event.Origin) {
	o.Client, _, _ = net.SplitHostPort(r.RemoteAddr)
	o.Host, o.Agent = r.Host[:min(len(r.Host), maxHeader)], r.UserAgent()[:min(len(r.UserAgent()), maxHeader)]
	return o
}
