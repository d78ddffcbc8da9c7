package session

import (
	"context"

	"github.com/evergate/evergate/internal/span"
)

// How a renewal went, for its span.
const (
	renewalDone    = "renewed"
	renewalUnsaved = "not stored" // it is used from memory
	renewalRefused = "refused"    // the session ends
	renewalFailed  = "failed"     // the session is kept
)

// tellRenewal says in the span of a renewal how it went.
func tellRenewal(ctx context.Context, how string, err error) {
	s := span.From(ctx)
	if s.IsZero() {
		return
	}
	if s.Text(span.Renewal, how); err != nil {
		s.Fail(span.Cause(err))
	}
}

// waited begins the span of a request that waits for a renewal, and leads to that of the
// renewal: another request may have asked for it.
func (f *flight) waited(ctx context.Context) span.Span {
	_, s := span.Start(ctx, span.Internal, "wait for renewal")
	s.Link(f.span)
	return s
}
