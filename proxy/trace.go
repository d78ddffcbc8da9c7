package proxy

import (
	"net/http"
	"strconv"

	"github.com/evergate/evergate/internal/span"
)

// traced is Decide within a span of its own.
func (g *Gate) traced(d *Decision, r *http.Request) {
	ctx, s := span.Start(r.Context(), span.Internal, "decide")
	if s.IsZero() {
		g.DecideInto(d, r)
		return
	}
	defer s.End()
	g.DecideInto(d, r.WithContext(ctx))
	s.Text(span.Decision, d.Outcome)
	if d.Route != nil {
		s.Text(span.HTTPRoute, d.Route.label)
	}
	if d.Outcome == Unavailable {
		s.Fail(span.Cause(d.Err))
	}
}

// wayUp is what is known of a traced request on its way up.
type wayUp struct {
	parent string // the traceparent that the route's own header rules saw
	sends  int    // how often it was sent
}

// place tells the upstream where the request stands in its trace. Where nobody traces,
// what the client says goes up as it came.
func (c *carriage) place(h http.Header) {
	parent, state := span.From(c.in.Context()).Place()
	if parent == "" {
		return
	}
	c.traced = &wayUp{parent: parent}
	h["Traceparent"] = []string{parent}
	delete(h, "Tracestate")
	if state != "" {
		h["Tracestate"] = []string{state}
	}
}

// trace begins the span of one sending of req to t. The request that it returns names it
// in its header, unless the route has removed that.
func (t *target) trace(req *http.Request, c *carriage) (*http.Request, span.Span) {
	_, s := span.Start(req.Context(), span.Client, req.Method)
	if s.IsZero() || c.traced == nil {
		return req, s
	}
	s.Text(span.HTTPMethod, req.Method)
	s.Text(span.URLFull, req.URL.Scheme+"://"+req.URL.Host+req.URL.EscapedPath())
	if s.Text(span.ServerAddress, t.url.Hostname()); t.socket != "" {
		s.Text(span.ServerAddress, t.socket)
	} else if port, err := strconv.Atoi(t.url.Port()); err == nil {
		s.Int(span.ServerPort, port)
	}
	if c.traced.sends > 0 {
		s.Int(span.HTTPResend, c.traced.sends)
	}
	c.traced.sends++
	if said := req.Header["Traceparent"]; len(said) == 1 && said[0] == c.traced.parent {
		parent, _ := s.Place()
		req = req.WithContext(req.Context()) // a copy: a transport may still be at the header of the one before
		req.Header = req.Header.Clone()
		req.Header["Traceparent"] = []string{parent}
	}
	return req, s
}

// answered ends the span of a sending once the header of the answer is there: the body
// takes as long as the client does.
func answered(s span.Span, res *http.Response, err error) {
	if s.IsZero() {
		return
	}
	status := 0
	if err == nil {
		status = res.StatusCode
	}
	s.Answer(status, err)
	s.End()
}
