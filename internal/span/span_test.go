package span_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/evergate/evergate/internal/span"
)

// TestNobodyListening: where no span is, beginning, describing and ending one takes no memory.
func TestNobodyListening(t *testing.T) {
	type other struct{}
	ctx := context.WithValue(context.Background(), other{}, 1)
	got := testing.AllocsPerRun(100, func() {
		within, s := span.Start(ctx, span.Client, "GET")
		s.Text(span.URLPath, "/x")
		s.Int(span.HTTPStatus, 200)
		s.Flag(span.ForwardAuth)
		s.Fail("timeout")
		s.Link(span.From(within))
		s.Rename("other")
		s.End()
		if parent, state := s.Place(); within != ctx || parent != "" || state != "" || s.TraceID() != "" || s.Recorded() || !s.IsZero() {
			t.Error("something was begun")
		}
		if span.Onto(ctx, s) != ctx {
			t.Error("the context has another span")
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}

func TestCauseSaysNothingOfTheError(t *testing.T) {
	secret := errors.New("https://idp.example/?code=secret")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{secret, span.Other},
		{fmt.Errorf("ask: %w", context.Canceled), "canceled"},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), "timeout"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, "connection"},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "connection"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "secret.example"}}, "dns"},
	} {
		if got := span.Cause(tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}
