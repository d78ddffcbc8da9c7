package decisions

import (
	"net/http"
	"strings"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// What of a request is kept at most, in bytes.
const (
	maxPath   = 512
	maxHost   = 253
	maxError  = 300
	maxHeader = 1 << 10 // of all headers together
)

// remember keeps what d is, and nothing of r.
func (e *Edition) remember(r *http.Request, d *proxy.Decision) {
	note := web.NoteOf(r.Context())
	f := fact{
		question: d.Question, asked: d.Question.Method != "", request: note.ID, session: note.Session,
		outcome: d.Outcome, observed: d.Observed, edition: e.number, index: -1,
	}
	q := &f.question
	q.Identity, q.Header = nil, nil
	q.Time = e.log.timeOf(d)
	if !f.asked {
		q.Host, q.Address = strings.ToLower(hostOf(r.Host)), note.Client
	}
	q.Method, q.Host = knownMethod(r.Method), ownHost(q.Host)
	if path := d.Target.Path; len(path) > maxPath {
		q.Path, f.cut = strings.Clone(path[:maxPath])+"…", true
	} else {
		q.Path = strings.Clone(path) // it is a part of the target, with its query
	}
	if d.Login != nil {
		f.identity, f.known = d.Login.Identity, true
	}
	if d.Rule != nil {
		f.rule = d.Rule.At
	}
	if d.ObservedRule != nil {
		f.wouldRule = d.ObservedRule.At
	}
	if d.Route != nil {
		f.route = d.Route.String()
		f.index = int32(d.Route.Index())
		if f.asked {
			e.keepHeaders(&f, r.Header)
		}
	}
	if d.Err != nil {
		f.err = clip(d.Err.Error(), maxError)
	}
	e.log.memory.put(&f)
}

// keepHeaders keeps what the rules of the route may read again.
func (e *Edition) keepHeaders(f *fact, h http.Header) {
	reads := &e.headers[f.index]
	if !reads.all && len(reads.names) == 0 {
		return
	}
	left := maxHeader
	keep := func(name string, values []string) {
		if len(values) == 0 || auth.IsCredential(name) { // which rules do not see either
			return
		}
		// Rules see the first value.
		if left -= len(name) + len(values[0]); left < 0 {
			f.cut = true
			return
		}
		f.header = append(f.header, name, strings.Clone(values[0]))
	}
	for _, name := range reads.names {
		keep(name, h[name])
	}
	if reads.all {
		for name, values := range h {
			keep(strings.Clone(name), values)
		}
	}
}

// headers is what keepHeaders kept.
func (f *fact) headers() http.Header {
	h := http.Header{}
	for i := 0; i < len(f.header); i += 2 {
		h[f.header[i]] = []string{f.header[i+1]}
	}
	return h
}

// knownMethod is a method that is no part of the text of a request.
func knownMethod(m string) string {
	for _, known := range [...]string{"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if m == known {
			return known
		}
	}
	return strings.Clone(clip(m, 32))
}

// ownHost is a host as it is kept. Hosts are a string of their own in a request, but of
// any length.
func ownHost(host string) string {
	if len(host) > maxHost {
		return strings.Clone(clip(host, maxHost))
	}
	return host
}

// hostOf is a Host header without its port.
func hostOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
