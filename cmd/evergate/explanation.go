package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/proxy"
)

// explanation is what explain says, and its JSON.
type explanation struct {
	Request  explainedRequest  `json:"request"`
	Identity *explainedPerson  `json:"identity"`
	Route    *explainedRoute   `json:"route"`
	Others   []*explainedRoute `json:"other_routes,omitempty"`
	Decision string            `json:"decision"`
	Reason   string            `json:"reason,omitempty"`
	// Rule is the one that made the difference.
	Rule     *decisions.Place    `json:"rule,omitempty"`
	Rules    []decisions.Rule    `json:"rules,omitempty"`
	Observed *decisions.Observed `json:"observed,omitempty"`
	Browser  message             `json:"browser"`
	Upstream *message            `json:"upstream,omitempty"`
}

type explainedRequest struct {
	Method  string `json:"method"`
	URL     string `json:"url"`
	Path    string `json:"path,omitempty"` // as it is matched
	Address string `json:"address"`
}

type explainedPerson struct {
	User     string         `json:"user"`
	Provider string         `json:"provider"`
	Email    string         `json:"email,omitempty"`
	Groups   []string       `json:"groups,omitempty"`
	Claims   map[string]any `json:"claims,omitempty"`
	ACR      string         `json:"acr,omitempty"`
	AMR      []string       `json:"amr,omitempty"`
}

type explainedRoute struct {
	Name string `json:"name"`
	decisions.Place
	Host    string   `json:"host,omitempty"`
	Match   string   `json:"path"`
	Methods []string `json:"methods,omitempty"`
	Why     string   `json:"why,omitempty"`
}

// message is what goes to the browser or to the app. Status 0 is the app's own.
type message struct {
	Status int         `json:"status,omitempty"`
	Method string      `json:"method,omitempty"`
	URL    string      `json:"url,omitempty"`
	Header http.Header `json:"header,omitempty"`
	Note   string      `json:"note,omitempty"`
}

// explain puts an outcome into words and lines.
func (r *rehearsal) explain(s scene, got outcome) *explanation {
	d := &got.Decision
	e := &explanation{
		Request:  explainedRequest{Method: s.Method, URL: s.URL.String() + s.Fragment, Path: d.Target.Path, Address: s.Address.String()},
		Decision: d.Outcome, Rule: r.place(d.Rule),
		Browser: message{Status: got.Status, Header: shownHeader(got.Header)},
	}
	if s.Who != nil {
		id := &s.Who.Identity
		e.Identity = &explainedPerson{User: id.User, Provider: id.Provider, Email: id.Email, Groups: id.Groups, Claims: id.Claims, ACR: s.Who.ACR, AMR: s.Who.AMR}
	}
	if d.Err != nil {
		e.Reason = d.Err.Error()
	}
	if s.Fragment != "" {
		e.Reason = "a # is in the request: browsers keep it and what follows to themselves, other clients are refused, and %23 is the sign itself. A browser asks for " + s.URL.String()
	}
	for _, c := range got.Candidates {
		route := r.route(c)
		if c.Route == d.Route && e.Route == nil {
			e.Route = route
		} else {
			e.Others = append(e.Others, route)
		}
	}
	e.Rules = decisions.Rules(&got.Trace, func(at string) int { return line(r.cfg, at) })
	if d.Observed != "" {
		e.Observed = &decisions.Observed{Decision: d.Observed, Rule: r.place(d.ObservedRule)}
	}
	if got.Up != nil {
		u := *got.Up.URL
		e.Upstream = &message{Method: got.Up.Method, URL: u.String(), Header: shownHeader(got.Up.Header)}
		e.Upstream.Header["Host"] = []string{got.Up.Host}
		e.Browser.Note = "what the app answers"
		if i := d.Route.Index(); r.cfg.Routes[i].UpstreamAuth != nil {
			e.Upstream.Note = "and the gateway signs them in at the app: see upstream_auth"
		} else if r.cfg.Decides(&r.cfg.Routes[i]) {
			e.Browser.Header = nil // the proxy in front hands on what the app says
			e.Upstream.URL = u.RequestURI()
			e.Upstream.Note = "by the proxy in front, which asks and puts the identity onto the request"
			if host := s.URL.Hostname(); !r.router.NamesHost(host) && !strings.EqualFold(host, r.cfg.PublicURL.Hostname()) {
				e.Decision, e.Reason, e.Upstream = proxy.Refused, "behind a proxy that asks only hosts are known that routes name (match.host), and that of public_url", nil
				e.Browser = message{Status: http.StatusForbidden}
			}
		}
	}
	return e
}

func (r *rehearsal) place(rule *auth.Rule) *decisions.Place {
	if rule == nil {
		return nil
	}
	return &decisions.Place{At: rule.At, Line: line(r.cfg, rule.At)}
}

func (r *rehearsal) route(c proxy.Candidate) *explainedRoute {
	at := fmt.Sprintf("routes[%d]", c.Route.Index())
	path := c.Route.Path
	if path == "" {
		path = "/"
	}
	return &explainedRoute{Name: c.Route.String(), Place: decisions.Place{At: at, Line: line(r.cfg, at)}, Host: c.Route.Host, Match: path, Methods: c.Route.Methods, Why: c.Why}
}

// shownHeader is a header without what is different each time.
func shownHeader(h http.Header) http.Header {
	out := h.Clone()
	if out == nil {
		out = http.Header{}
	}
	out.Del("X-Request-Id")
	for i, proof := range out[dpop.Header] {
		out[dpop.Header][i] = "a proof for " + dpop.For(proof)
	}
	for i, c := range out["Set-Cookie"] {
		name, _, _ := strings.Cut(c, "=")
		out["Set-Cookie"][i] = name + "=…"
	}
	return out
}

// write says it to a person.
func (e *explanation) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s from %s, %s\n", e.Request.Method, e.Request.URL, e.Request.Address, e.who())
	if e.Route != nil {
		fmt.Fprintf(&b, "\nRoute     %s\n          %s\n", e.Route, e.Route.Why)
	} else {
		fmt.Fprintf(&b, "\nRoute     none\n")
	}
	for _, o := range e.Others {
		fmt.Fprintf(&b, "  not     %s\n          %s\n", o, o.Why)
	}
	if e.Rules != nil {
		b.WriteString("\n")
	}
	writeRules(&b, e.Rules)
	fmt.Fprintf(&b, "\nDecision  %s%s\n", e.Decision, by(e.Rule))
	if e.Reason != "" {
		fmt.Fprintf(&b, "          %s\n", e.Reason)
	}
	if o := e.Observed; o != nil {
		differs := ""
		if o.Decision != e.Decision {
			differs = ", which differs"
		}
		fmt.Fprintf(&b, "Observed  %s%s%s\n", o.Decision, by(o.Rule), differs)
	}
	b.WriteString("\nBrowser   ")
	if e.Browser.Status == 0 {
		b.WriteString(e.Browser.Note + "\n")
	} else {
		fmt.Fprintf(&b, "%d %s\n", e.Browser.Status, http.StatusText(e.Browser.Status))
	}
	writeHeader(&b, e.Browser.Header)
	if u := e.Upstream; u != nil {
		fmt.Fprintf(&b, "App       %s %s\n", u.Method, u.URL)
		writeHeader(&b, u.Header)
		if u.Note != "" {
			fmt.Fprintf(&b, "          %s\n", u.Note)
		}
	} else {
		b.WriteString("App       nothing\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *explanation) who() string {
	p := e.Identity
	if p == nil {
		return "nobody signed in"
	}
	about := []string{"signed in at " + p.Provider}
	if p.Groups != nil {
		about = append(about, "groups "+strings.Join(p.Groups, ", "))
	}
	if p.Email != "" {
		about = append(about, p.Email)
	}
	return p.User + " (" + strings.Join(about, "; ") + ")"
}

// String is a route in a line.
func (r *explainedRoute) String() string {
	s := fmt.Sprintf("%s (line %d): ", r.Name, r.Line)
	if r.Host != "" {
		s += "host " + r.Host + ", "
	}
	s += "path " + r.Match
	if r.Methods != nil {
		s += ", " + strings.Join(r.Methods, " ")
	}
	return s
}

func by(p *decisions.Place) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf(", by %s (line %d)", p.At, p.Line)
}

func writeRule(b *strings.Builder, r *decisions.Rule) {
	what := "does not hold"
	switch {
	case r.Skipped:
		what = "is about people, and nobody is signed in"
	case r.Holds:
		what = "holds"
	}
	if r.Decides {
		what += "  <- decides"
	}
	fmt.Fprintf(b, "%-9s %s (line %d): %s\n", r.Effect, r.At, r.Line, what)
	for _, c := range r.Conditions {
		answer := "no "
		if c.Holds {
			answer = "yes"
		}
		fmt.Fprintf(b, "          %s  %s: %s", answer, c.Key, strings.ReplaceAll(strings.TrimSpace(c.Wants), "\n", " "))
		if c.Error != "" {
			fmt.Fprintf(b, " (nobody can tell: %s)", c.Error)
		}
		b.WriteString("\n")
	}
}

// writeHeader leaves out what is the same on every page.
func writeHeader(b *strings.Builder, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		switch name {
		case "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Length", "Content-Type", "Permissions-Policy", "Cross-Origin-Opener-Policy":
			continue
		}
		for _, v := range h[name] {
			if v == "" {
				continue // net/http's way to say that there is none
			}
			fmt.Fprintf(b, "          %s: %s\n", name, plainLine(v))
		}
	}
}

// plainLine shows a value on one line of a terminal.
func plainLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
