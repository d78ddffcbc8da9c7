package web

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Line is what the access line says of a request that is over. Text that is empty is left out,
// but for that of the client, the method, the host and the path.
type Line struct {
	// At is when it ended, Level how the line ranks.
	At    time.Time
	Level slog.Level
	// RequestID to Upstream are as in Note; Method, Host and Path are those that came.
	RequestID                                                      string
	Client                                                         netip.Addr
	Method, Host, Path                                             string
	TraceID, Route, Subject, Session, Decision, Observed, Upstream string
	// Status and Bytes are what its client got.
	Status int
	Bytes  int64
	// Took is from the header of the request to the end of the answer, Waited the wait for the
	// upstream's header; zero is left out.
	Took, Waited time.Duration
	// Err is why the answer is an error, or nil.
	Err error
}

// AccessMessage is that of each access line.
const AccessMessage = "request"

// Access takes access lines. It keeps nobody waiting, and no pointer to what it is given.
type Access interface {
	Access(l *Line)
}

// AccessBySlog writes access lines as records of a log: whoever calls waits until they are
// written.
func AccessBySlog(log *slog.Logger) Access { return slogAccess{log} }

type slogAccess struct{ log *slog.Logger }

// Access implements Access.
func (a slogAccess) Access(l *Line) {
	if !a.log.Enabled(context.Background(), l.Level) {
		return
	}
	attrs := make([]slog.Attr, 0, 18)
	client := ""
	if l.Client.IsValid() {
		client = l.Client.String()
	}
	attrs = append(attrs, slog.String("request_id", l.RequestID), slog.String("client", client),
		slog.String("method", l.Method), slog.String("host", l.Host), slog.String("path", l.Path))
	for _, t := range []struct{ key, value string }{
		{"trace_id", l.TraceID}, {"route", l.Route}, {"subject", l.Subject}, {"session", l.Session}, {"decision", l.Decision}, {"observed", l.Observed}, {"upstream", l.Upstream},
	} {
		if t.value != "" {
			attrs = append(attrs, slog.String(t.key, t.value))
		}
	}
	attrs = append(attrs, slog.Int("status", l.Status), slog.Int64("bytes", l.Bytes), slog.Float64("dur_ms", millis(l.Took)))
	if l.Waited > 0 {
		attrs = append(attrs, slog.Float64("upstream_ms", millis(l.Waited)))
	}
	if l.Err != nil {
		attrs = append(attrs, slog.String("err", l.Err.Error()))
	}
	r := slog.NewRecord(l.At, l.Level, AccessMessage, 0)
	r.AddAttrs(attrs...)
	_ = a.log.Handler().Handle(context.Background(), r) // as slog.Logger does: nobody could be told
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// lines are for one request each: given to an interface, they would be garbage otherwise.
var lines = sync.Pool{New: func() any { return new(Line) }}
