package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// statusClientGone is what the access line says of a client that hung up; there
// is nobody to send it to. The number is nginx's.
const statusClientGone = 499

// fail answers in place of the upstream.
func (c *carriage) fail(u *Upstream, w http.ResponseWriter, err error) {
	if c.goOn != nil {
		return // nothing failed: see takeOver
	}
	if c.note.Upstream == 0 {
		c.note.Upstream = time.Since(c.start)
	}
	c.show(w.Header())
	// A read that the clock ended looks to net/http as if the client had gone.
	late := c.sent.close() || web.IsBodyLate(c.in.Context())
	if errors.Is(c.in.Context().Err(), context.Canceled) && !late {
		w.WriteHeader(statusClientGone)
		return
	}
	if c.tunnel != nil {
		return // the connection is the tunnel's already
	}
	if c.note.Ended.Load() {
		// What was being sent is nobody's any more, and the rest of it is not waited for.
		_ = c.controller().SetReadDeadline(past)
		panic(http.ErrAbortHandler)
	}
	if f, ok := errors.AsType[*furtherSignIn](err); ok {
		c.note.Decision = StepUp
		c.deliver(w.Header())
		if err := c.gate.challenge(w, c.in, &auth.Absent{Reason: auth.Insufficient, Demand: f.demand, Login: c.login}); err != nil {
			web.Respond(w, c.in, err)
		}
		return
	}
	err = c.failure(u, err)
	if c.signOut != nil {
		var answered bool
		if answered, err = c.farewellWithout(w, err); answered {
			return
		}
	}
	c.deliver(w.Header())
	if c.kept != nil {
		w.Header()["Set-Cookie"] = append(w.Header()["Set-Cookie"], c.kept...)
	}
	web.Respond(w, c.in, err)
}

// failure says what went wrong, by who is to blame.
func (c *carriage) failure(u *Upstream, err error) error {
	if e, ok := errors.AsType[*web.Error](err); ok {
		return e
	}
	if c.sent.close() {
		return &web.Error{Status: http.StatusRequestTimeout, Code: "request_too_slow", Title: "That took too long to arrive",
			Detail: "Nothing more arrived of what was being sent. Nothing is lost on your side: try again, over a better connection if there is one.", Err: errStalled}
	}
	notTaken := c.taken.close()
	if b := c.bodyErr.Load(); b != nil && !notTaken {
		if _, ok := errors.AsType[*http.MaxBytesError](*b); ok {
			return &web.Error{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large",
				Detail: "What was sent is larger than is accepted here.", Err: *b}
		}
		return &web.Error{Status: http.StatusBadRequest, Code: "bad_body",
			Detail: "The body of the request could not be read to its end.", Err: *b}
	}
	var e *web.Error
	if notTaken {
		err = errNotTaken
	}
	if notTaken || isTimeout(err) {
		e = &web.Error{Status: http.StatusGatewayTimeout, Code: "upstream_timeout", Title: "The app takes too long to answer",
			Detail: "The app behind this address did not answer in time. It may be busy: try again in a moment."}
	} else {
		e = badGateway("upstream_down", "The app behind this address cannot be reached or broke off. Try again in a moment.", nil)
	}
	e.Links = tryAgain(c.in, c.target)
	name := u.String()
	if c.to != nil {
		name, err = c.to.name, c.to.explain(err)
	}
	e.Err = &url.Error{Op: "upstream", URL: name, Err: err}
	return e
}

func badGateway(code string, detail web.Message, err error) *web.Error {
	return &web.Error{Status: http.StatusBadGateway, Code: code, Title: "The app does not answer properly", Detail: detail, Err: err}
}
