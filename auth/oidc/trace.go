package oidc

import (
	"net/http"
	"strconv"

	"github.com/evergate/evergate/internal/span"
)

// traced ends the span of a question to the provider. The provider is not told of the
// trace: it is somebody else's, and has no use for it.
func (m *Method) traced(s span.Span, req *http.Request, a *answer, err error) {
	if s.IsZero() {
		return
	}
	s.Text(span.Provider, m.cfg.Name)
	s.Text(span.HTTPMethod, req.Method)
	s.Text(span.URLFull, req.URL.Scheme+"://"+req.URL.Host+req.URL.EscapedPath()) // queries have secrets in them
	s.Text(span.ServerAddress, req.URL.Hostname())
	if port, err := strconv.Atoi(req.URL.Port()); err == nil {
		s.Int(span.ServerPort, port)
	}
	status := 0
	if err == nil {
		status = a.status
	}
	s.Answer(status, err)
	s.End()
}
