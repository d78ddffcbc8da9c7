package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/inject"
)

// Route says which requests go to which upstream, and who may make them. It is
// not edited once NewRouter has seen it, and belongs to that Router alone.
type Route struct {
	// Name shows in logs; "" means host and path.
	Name string
	// Host is an exact host name, or "*.example.com" for every name below
	// example.com, at any depth but not the name itself. "" is every host. Names
	// compare without case, port and trailing dot; others than ASCII are written
	// in their xn-- form.
	Host string
	// Path that ends in "/" matches everything under it; another matches itself
	// alone, so "/w" and "/w/" are two things. A segment "*" stands for any one
	// segment that is not empty. "" is "/".
	Path string
	// Methods are the methods served, all when empty. GET serves HEAD too.
	Methods []string
	// Policy is who may pass; the zero value is anyone signed in.
	Policy auth.Policy
	// Token is what goes upstream behind "Bearer ".
	Token auth.Wanted
	// DPoP sends it with a proof in the place of that; nil does not.
	DPoP *DPoP
	// Bearer takes a client's own token in place of a session.
	Bearer bool
	// PassPreflight sends CORS preflights (an OPTIONS request without a body that
	// asks for a method) to the upstream, without identity and unasked. The route
	// is the one of the method that they ask for.
	PassPreflight bool
	// Device is what the route wants of sessions that browsers can bind to their device.
	Device DeviceDemand
	// PathChars are oddities allowed in paths, where every reading of the path
	// leads to this route.
	PathChars PathChars
	// PassHeaders are names that a client may send although they belong to the
	// gateway. What Evergate sets itself stays its own.
	PassHeaders []string
	// Origins may open WebSockets beside the route's own origin, such as
	// "https://app.example.com".
	Origins []string
	// CSRF refuses what pages of other sites send; nil does not.
	CSRF *CSRF
	// SecureHeaders guard what comes back; nil adds none.
	SecureHeaders *SecureHeaders
	// RateLimits bound how many requests somebody may have, MaxRateLimits at most.
	RateLimits []RateLimit
	// LogoutPaths are where the app signs its people out, as browsers have them: whoever
	// goes there is signed out of the gateway as well. See Gate.SignOut.
	LogoutPaths []string
	// Rewrite is how paths look to the upstream.
	Rewrite Rewrite
	// RequestHeaders are set on what goes up. What a route sets no client is heard
	// under, on any route.
	RequestHeaders Headers
	// AnswerHeaders are set on what comes back.
	AnswerHeaders Headers
	// ReplaceErrors are statuses, 500 to 599, whose answers by the upstream people do
	// not get to see: they get the gateway's page. Scripts get what the app said.
	ReplaceErrors []int
	// Compress are codings for answers that the upstream did not compress, the one
	// liked best first; see CompressionNames. None compresses nothing.
	Compress []string
	// Basic, APIKey and Form sign people in at an app that has users of its own. One of
	// them at most is set.
	Basic  *Basic
	APIKey *APIKey
	Form   *Form
	// Upstream is the way out.
	Upstream *Upstream
	// Answer is what the route says by itself, in the place of an Upstream. A route with
	// neither only decides: a proxy in front carries its requests. See ForwardAuth.
	Answer Answer

	label string
	index int
	pass  map[string]bool // PassHeaders, canonical
	allow []string        // Origins, as browsers write them

	up, down headerLines
	logout   map[string]bool // LogoutPaths, canonical
	dropped  map[string]bool // folded names that clients must not send, beside the gateway's
	free     map[string]bool // usual names that are not among those

	rates        []*rate  // RateLimits, with their counts
	ratePolicies []string // the value of RateLimit-Policy, alone

	credential string // the header that Basic or APIKey go in, canonical
}

// String returns the name of the route.
func (r *Route) String() string { return r.label }

// Index is the place of the route among those that NewRouter was given, from 0.
func (r *Route) Index() int { return r.index }

// prepare checks what is written in r and fills what follows from it.
func (r *Route) prepare(i int) (faults []error) {
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("routes[%d].%s: "+format, append([]any{i, key}, args...)...))
	}
	r.index = i
	if name, port, ok := cleanHost(strings.TrimPrefix(r.Host, "*.")); r.Host != "" && (!ok || port != "" || name == "") {
		fault("match.host", "%q is no host name; write a name or *.name, without scheme and port, others than ASCII as xn--", r.Host)
	}
	if why := checkPattern(r.pattern()); why != "" {
		fault("match.path", "%q %s", r.Path, why)
	}
	for j, m := range r.Methods {
		if !knownMethod(m) {
			fault(fmt.Sprintf("match.methods[%d]", j), "%q is no method that is carried; methods are upper case, and CONNECT and TRACE never pass", m)
		}
	}
	if ready, err := r.Policy.Compiled(); err != nil {
		faults = append(faults, err)
	} else {
		r.Policy = *ready
	}
	r.Rewrite.prepare(r.pattern(), r.PathChars, fault)
	r.prepareLogout(fault)
	r.CSRF.prepare(fault)
	r.SecureHeaders.prepare(fault)
	r.prepareRates(fault)
	r.up = r.RequestHeaders.prepare("request_headers", inject.RequestRefusal, fault)
	r.down = r.AnswerHeaders.prepare("response_headers", inject.AnswerRefusal, fault)
	for j, status := range r.ReplaceErrors {
		if status < 500 || status > 599 {
			fault(fmt.Sprintf("replace_errors[%d]", j), "want 500 to 599, got %d", status)
		}
	}
	for j, name := range r.Compress {
		if codings[name] == nil || slices.Contains(r.Compress[:j], name) {
			fault(fmt.Sprintf("compress[%d]", j), "want %s, each once, got %q", strings.Join(CompressionNames, ", "), name)
		}
	}
	if r.Answer != nil {
		r.Answer.prepare(r, fault)
	}
	r.pass = map[string]bool{}
	for _, name := range r.PassHeaders {
		r.pass[http.CanonicalHeaderKey(name)] = true
		if slices.ContainsFunc(r.up.removed, func(n string) bool { return inject.Fold(n) == inject.Fold(name) }) {
			fault("pass_headers", "%s is let through and set, added or removed by request_headers; keep one of the two", name)
		}
	}
	r.prepareSignIn(fault)
	r.DPoP.prepare(r, fault) // which looks at what the others made of the token
	r.allow = nil
	for j, o := range r.Origins {
		origin, ok := cleanOrigin(o)
		if !ok {
			fault(fmt.Sprintf("origins[%d]", j), "%q is no origin; write scheme://host[:port]", o)
		}
		r.allow = append(r.allow, origin)
	}
	if r.label = r.Name; r.label == "" {
		r.label = r.Host + r.pattern()
	}
	return faults
}

// carries reports whether the gateway carries the requests of the route, or answers them.
func (r *Route) carries() bool { return r.Upstream != nil || r.Answer != nil }

func (r *Route) pattern() string {
	if r.Path == "" {
		return "/"
	}
	return r.Path
}

// checkPattern says what is wrong with the path of a route, if anything.
func checkPattern(p string) string {
	if !strings.HasPrefix(p, "/") {
		return "does not start with a slash"
	}
	if isReserved(p) {
		return "is the gateway's own"
	}
	if strings.ContainsAny(p, "?#") {
		return "holds a query or a fragment; rules read the path alone"
	}
	c, ok := canonicalPath(p)
	if !ok {
		return "holds a percent sign without two hex digits"
	}
	marks, why := examine(c)
	switch {
	case why != "":
		return "cannot be matched: " + string(why)
	case marks.chars != 0:
		return "holds an empty segment, a parameter or an encoded slash, which no rule can tell apart"
	}
	for segment := range strings.SplitSeq(p, "/") {
		if strings.Contains(segment, "*") && segment != "*" {
			return "holds a * that is not a segment of its own"
		}
	}
	return ""
}
