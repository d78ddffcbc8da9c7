package proxy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"

	"github.com/evergate/evergate/internal/web"
)

// Respond says the same to everybody.
type Respond struct {
	// Status is 200 to 599, but for redirects and 304. Zero means 200.
	Status int
	// Body is what is said. An error (400 and above) that has neither Body nor
	// BodyFile is the gateway's own: a page, or problem+json.
	Body string
	// BodyFile is read for each answer, 1 MiB at most.
	BodyFile string
	// ContentType of "" is what the name of BodyFile says, or text/plain.
	ContentType string
	// Own reports whether a file is the gateway's own, which is not read for an answer. Nil
	// means that no file is.
	Own func(fs.FileInfo) bool

	body []byte // Body
}

// MaxRespond bounds what is read of a BodyFile. What is larger is for Static.
const MaxRespond = 1 << 20

func (a *Respond) prepare(_ *Route, fault func(key, format string, args ...any)) {
	if a.body = []byte(a.Body); a.Status == 0 {
		a.Status = http.StatusOK
	}
	switch has := a.Body != "" || a.BodyFile != ""; {
	case a.Status < 200 || a.Status > 599:
		fault("respond.status", "want 200 to 599, got %d", a.Status)
	case a.Status >= 300 && a.Status < 400:
		fault("respond.status", "%d is a redirect, which is a key of its own", a.Status)
	case has && bodyless(a.Status):
		fault("respond.status", "an answer of %d has no body", a.Status)
	case a.Body != "" && a.BodyFile != "":
		fault("respond.body_file", "there is a body already")
	}
	if a.ContentType == "" {
		if a.ContentType = "text/plain; charset=utf-8"; a.BodyFile != "" {
			a.ContentType = contentType(a.BodyFile)
		}
	}
}

func bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

func (a *Respond) answer(w http.ResponseWriter, r *http.Request, d *Decision) error {
	body := a.body
	if a.BodyFile != "" {
		var err error
		if body, err = a.read(); err != nil {
			return unreadable(err)
		}
	} else if a.Body == "" && a.Status >= 400 {
		return &web.Error{Status: a.Status, Code: "answered_here", Detail: "This is what the gateway has been set to answer at this address.",
			Err: errors.New("the route " + d.Route.label + " says so")}
	}
	h := w.Header()
	if !bodyless(a.Status) {
		h.Set("Content-Type", a.ContentType)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	h.Set("Cache-Control", "no-cache") // what is said may change, and nobody could take it back
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead && len(body) > 0 {
		_, _ = w.Write(body)
	}
	return nil
}

// read reads BodyFile.
func (a *Respond) read() ([]byte, error) {
	f, err := os.Open(a.BodyFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if a.Own != nil {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if a.Own(info) {
			return nil, fmt.Errorf("read respond.body_file %s: it has become a link to a file of the gateway's own, which no route serves; put another file in its place", a.BodyFile)
		}
	}
	body, err := io.ReadAll(io.LimitReader(f, MaxRespond+1))
	if err == nil && len(body) > MaxRespond {
		err = fmt.Errorf("%s is longer than %d bytes", a.BodyFile, MaxRespond)
	}
	return body, err
}

// unreadable is for files that the operator named and that cannot be read.
func unreadable(err error) *web.Error {
	return &web.Error{Status: http.StatusInternalServerError, Code: "unreadable", Title: "This page cannot be shown",
		Detail: "The gateway cannot read what belongs here. Whoever runs it finds the reason in its log, by the request id.", Err: err}
}
