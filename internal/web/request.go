package web

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Note is what the parts that handle a request tell its access line. One
// goroutine at a time writes it: the one that serves the request. It is never
// copied.
type Note struct {
	// ID is the request id, also sent as X-Request-Id up and down.
	ID string
	// Client is the address of the browser, taken from a header only where the
	// peer is a trusted proxy. The zero Addr is a client that is not known: one on a
	// unix socket.
	Client netip.Addr
	// Unread says that a trusted proxy's header could not be read, so that Client is the
	// proxy and not who asks.
	Unread bool
	// Scheme is "http" or "https", as the browser sees it.
	Scheme string
	// Route names the route that matched.
	Route string
	// Subject is who is signed in.
	Subject string
	// Session names the session; it opens nothing.
	Session string
	// Decision is one word: "allowed", "public", "login", "denied", "refused", …
	Decision string
	// Observed is what the decision would be by the rules that are only observed, where
	// that is another.
	Observed string
	// Target is where the request went, of several that it could go to.
	Target string
	// Upstream is the time spent waiting for the upstream's response header.
	Upstream time.Duration
	// Ended says that the session ended under a response that was still running,
	// which was cut for it: an end as it should be, set by whoever cut it.
	Ended atomic.Bool
	// Down says the same of a gateway that goes down, and has streams come again to
	// one that stays.
	Down atomic.Bool
	// Err is why an answer is an error.
	Err error
	// Carriage is who has the request in hand, which is what package proxy keeps of it.
	Carriage any

	// line is ID, as a header has it.
	line [1]string
	// asked is the request as it came, or nil.
	asked *http.Request
	// look is how pages look; nil is the gateway's own.
	look *Look
	// body is the body of an HTTP/1 request that has one.
	body *incoming
	// overLimit is the limit that the body of the request turned out to be over,
	// or zero. A transport reads bodies in a goroutine of its own.
	overLimit atomic.Int64
}

// idLine is the value of X-Request-Id. Whoever appends to it gets a list of their own.
func (n *Note) idLine() []string {
	n.line[0] = n.ID
	return n.line[:1:1]
}

func (n *Note) lookOf() *Look {
	if n.look == nil {
		return ownLook
	}
	return n.look
}

type noteKey struct{}

// NoteOf returns the Note of a request. Outside of Serve it returns a fresh one.
func NoteOf(ctx context.Context) *Note {
	if n := NoteIn(ctx); n != nil {
		return n
	}
	id, _ := newID("")
	return &Note{ID: id}
}

// NoteIn returns the Note of a request, or nil outside of one.
func NoteIn(ctx context.Context) *Note {
	n, _ := ctx.Value(noteKey{}).(*Note)
	return n
}

// Asked returns the Host and User-Agent headers of the request as it came, cut to what a
// log bears.
func (n *Note) Asked() (host, agent string) {
	if n.asked == nil {
		return "", ""
	}
	return clip(n.asked.Host, 255), clip(n.asked.UserAgent(), maxAgent)
}

const maxAgent = 256

// WithNote returns a context that carries n.
func WithNote(ctx context.Context, n *Note) context.Context {
	return context.WithValue(ctx, noteKey{}, n)
}

// first is Header.Get for a name that is canonical as it stands.
func first(h http.Header, name string) string {
	if lines := h[name]; len(lines) > 0 {
		return lines[0]
	}
	return ""
}

// IsNavigation reports whether r is a person opening a page, as opposed to a
// script, an image or a program. Browsers say so in Fetch Metadata; older ones
// and programs are told by what they accept.
func IsNavigation(r *http.Request) bool {
	if IsUpgrade(r) {
		return false
	}
	h := r.Header
	if mode := first(h, "Sec-Fetch-Mode"); mode != "" {
		if mode != "navigate" {
			return false
		}
		switch first(h, "Sec-Fetch-Dest") {
		case "", "document", "iframe", "frame", "embed", "object", "fencedframe":
			return true
		}
		return false
	}
	if strings.EqualFold(h.Get("X-Requested-With"), "XMLHttpRequest") {
		return false
	}
	return strings.Contains(strings.ToLower(strings.Join(h.Values("Accept"), ",")), "text/html")
}

// IsFramed reports whether r is a navigation inside a frame, where a sign-in
// page would not be shown.
func IsFramed(r *http.Request) bool {
	switch first(r.Header, "Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return IsNavigation(r)
	}
	return false
}

// IsFromElsewhere reports whether a browser says that a page of another origin sent r, be it of
// the same site. Older browsers say nothing.
func IsFromElsewhere(r *http.Request) bool {
	switch first(r.Header, "Sec-Fetch-Site") {
	case "same-site", "cross-site":
		return true
	}
	return false
}

// IsFromNoPage reports whether a browser says that no page sent r, nor somebody who opened one: an
// extension did. Older browsers say nothing.
func IsFromNoPage(r *http.Request) bool {
	return first(r.Header, "Sec-Fetch-Site") == "none" && !IsNavigation(r)
}

// IsUpgrade reports whether r asks to change the protocol.
func IsUpgrade(r *http.Request) bool {
	return first(r.Header, "Upgrade") != "" || r.Method == http.MethodConnect
}

// IsFromPlainPage reports whether a request over https says that a page at http sent it. A browser
// that sends Sec-Fetch-Site has told already whether that is another site; of one that sends no
// more than Origin, http.CrossOriginProtection compares the host alone, and a page at http under
// our own name is anybody's who is on the way.
func IsFromPlainPage(r *http.Request, https bool) bool {
	return https && r.Header.Get("Sec-Fetch-Site") == "" && strings.HasPrefix(strings.ToLower(r.Header.Get("Origin")), "http://")
}

// IsReferredElsewhere reports whether all that a request says of where it comes from is a Referer, and
// that names no page of this host. http.CrossOriginProtection takes one without Sec-Fetch-Site and
// Origin for a program's, but no program sends a Referer of somebody else's page.
func IsReferredElsewhere(r *http.Request, https bool) bool {
	referers := r.Header["Referer"]
	if referers == nil || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" {
		return false
	}
	from, err := url.Parse(referers[0])
	return len(referers) != 1 || err != nil || !strings.EqualFold(from.Host, r.Host) || https && from.Scheme != "https"
}
