package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Error is an answer that is not what was asked for. Its public half goes to
// the client, Err goes to the log and nowhere else.
type Error struct {
	// Status is the HTTP status; zero means 500.
	Status int
	// Code is a stable name for programs, such as "login_required".
	Code string
	// Title says what happened, in a few words; "" is the text of Status.
	Title Message
	// Detail says what it means and what to do, in a sentence or two.
	Detail Message
	// Args are the parts of Title, Detail and the texts of Links that change.
	Args Args
	// Links are offered on a page, the first as the main thing to do.
	Links []Link
	// Help says that somebody may be able to help: a page links to where to ask for access,
	// if the operator has named that.
	Help bool
	// RetryAfter becomes a Retry-After header when positive, rounded up to seconds.
	RetryAfter time.Duration
	// Header is added to the answer.
	Header http.Header
	// Extra are further members of the problem+json answer (RFC 9457 section 3.2).
	Extra map[string]any
	// Err is the cause, for the log.
	Err error
}

// Link is something to do next.
type Link struct {
	Text Message
	URL  string
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%d %s", e.status(), e.say(e.title()))
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) status() int {
	if e.Status == 0 {
		return http.StatusInternalServerError
	}
	return e.Status
}

func (e *Error) title() Message {
	if e.Title != "" {
		return e.Title
	}
	return Message(http.StatusText(e.status()))
}

// say is m in English, for programs and the log.
func (e *Error) say(m Message) string { return Text{m, e.Args}.String() }

// Handler is an http.Handler that returns what went wrong, to be answered by
// Respond. Once it has written anything it returns nil.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		Respond(w, r, err)
	}
}

// asError finds the *Error in err, or makes one of an error nobody expected.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(over.Limit, err)
	}
	return &Error{Status: http.StatusInternalServerError, Code: "internal", Err: err,
		Title:  "Something went wrong here",
		Detail: "The gateway could not answer this request. Trying again may help; if not, give the request id to whoever runs it."}
}
