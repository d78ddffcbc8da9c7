package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// What Match finds instead of a route. See also MethodError.
var (
	ErrNoHost = errors.New("no route knows this host")
	ErrNoPath = errors.New("no route knows this path")
)

// MethodError says that the path is known and the method is not.
type MethodError struct {
	// Allow is the value of the Allow header (RFC 9110 section 10.2.1).
	Allow string
}

func (e *MethodError) Error() string { return "this path serves " + e.Allow + " alone" }

// Router finds the route of a request. It is never edited: a new configuration
// is a new Router.
//
// The most specific match wins, whatever the order: an exact host before the
// longest wildcard before any host; within a host the path, compared segment by
// segment from the left, a name before "*" before the end of a prefix; then the
// method. Where no path of one host matches, the less specific hosts are asked.
// Once a path has matched the search is over: a method that is not served there
// is refused rather than handed to a wider route with a wider rule.
type Router struct {
	exact  map[string]*node
	suffix map[string]*node // by ".example.com"
	any    *node
	chars  PathChars
	forms  []*Route // those with a Form
	all    []*Route // for Candidates

	limited []*Route // those with RateLimits
	told    []string // for Told
}

// node is one segment of the paths of a host.
type node struct {
	names  map[string]*node
	star   *node
	itself *leaf // the path ends here
	below  *leaf // the path ends here with a slash
}

// leaf holds the routes of one host and path.
type leaf struct {
	methods map[string]*Route
	any     *Route
	refusal *MethodError
}

// NewRouter builds a Router. The error joins every fault, each with the path of
// its key in the configuration, such as routes[3].match.
func NewRouter(routes []*Route) (*Router, error) {
	rt := &Router{exact: map[string]*node{}, suffix: map[string]*node{}, all: routes}
	var faults []error
	index := map[*Route]int{}
	for i, r := range routes {
		index[r] = i
		if errs := r.prepare(i); errs != nil {
			faults = append(faults, errs...)
			continue
		}
		rt.chars |= r.PathChars
		if r.Form != nil {
			rt.forms = append(rt.forms, r)
		}
		if len(r.rates) > 0 {
			rt.limited = append(rt.limited, r)
		}
		if err := rt.leaf(r).add(r, index); err != nil {
			faults = append(faults, fmt.Errorf("routes[%d].match: %w", i, err))
		}
	}
	if faults == nil {
		for i, r := range routes {
			faults = append(faults, rt.checkLogout(r, i)...)
		}
	}
	if faults = append(faults, rt.checkLoops(routes)...); faults != nil {
		return nil, errors.Join(faults...)
	}
	setDropped(routes)
	rt.prepareTold(routes)
	return rt, nil
}

// Names are what logs and metrics call the routes.
func (rt *Router) Names() map[string]bool {
	all := make(map[string]bool, len(rt.all))
	for _, r := range rt.all {
		all[r.label] = true
	}
	return all
}

// leaf returns the place of r in the tree, made if need be.
func (rt *Router) leaf(r *Route) *leaf { return rt.host(r.Host).leaf(r.pattern()) }

// leaf returns the place of a path below n, made if need be.
func (n *node) leaf(pattern string) *leaf {
	path, _ := canonicalPath(pattern)
	rest := path[1:]
	for {
		segment, tail, more := strings.Cut(rest, "/")
		if !more && segment == "" {
			return ensure(&n.below)
		}
		n = n.step(segment)
		if !more {
			return ensure(&n.itself)
		}
		rest = tail
	}
}

func (rt *Router) host(pattern string) *node {
	if pattern == "" {
		return ensure(&rt.any)
	}
	hosts := rt.exact
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		hosts, pattern = rt.suffix, below
	}
	name := strings.ToLower(strings.TrimSuffix(pattern, "."))
	if hosts[name] == nil {
		hosts[name] = &node{}
	}
	return hosts[name]
}

func (n *node) step(segment string) *node {
	if segment == "*" {
		return ensure(&n.star)
	}
	if n.names == nil {
		n.names = map[string]*node{}
	}
	if n.names[segment] == nil {
		n.names[segment] = &node{}
	}
	return n.names[segment]
}

func ensure[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// add puts r into l, unless another route serves the same there.
func (l *leaf) add(r *Route, index map[*Route]int) error {
	tie := func(other *Route, what string) error {
		return fmt.Errorf("ties with routes[%d].match: both are host %q, path %q, %s; merge them, or make one more specific",
			index[other], r.Host, r.pattern(), what)
	}
	if len(r.Methods) == 0 {
		if l.any != nil {
			return tie(l.any, "any method")
		}
		l.any = r
		return nil
	}
	if l.methods == nil {
		l.methods = map[string]*Route{}
	}
	for _, m := range r.Methods {
		if other := l.methods[m]; other != nil && other != r {
			return tie(other, "method "+m)
		}
		l.methods[m] = r
	}
	names := make([]string, 0, len(l.methods)+1)
	for m := range l.methods {
		names = append(names, m)
	}
	if l.methods[http.MethodGet] != nil && l.methods[http.MethodHead] == nil {
		names = append(names, http.MethodHead)
	}
	slices.Sort(names)
	l.refusal = &MethodError{Allow: strings.Join(names, ", ")}
	return nil
}

func (l *leaf) route(method string) (*Route, error) {
	if r := l.methods[method]; r != nil {
		return r, nil
	}
	if method == http.MethodHead {
		if r := l.methods[http.MethodGet]; r != nil {
			return r, nil
		}
	}
	if l.any != nil {
		return l.any, nil
	}
	return nil, l.refusal
}

// Match finds the route for a host as the client wrote it, a canonical path and
// a method. The error is ErrNoHost, ErrNoPath or a *MethodError.
func (rt *Router) Match(host, path, method string) (*Route, error) {
	name, _, ok := cleanHost(host)
	if !ok {
		return nil, ErrNoHost
	}
	return rt.match(name, path, method)
}

// match is Match for a host as cleanHost has it.
func (rt *Router) match(name, path, method string) (*Route, error) {
	if path == "" {
		return nil, ErrNoHost
	}
	known := false
	for n := range rt.nodes(name) {
		known = true
		if l := n.find(path[1:]); l != nil {
			return l.route(method)
		}
	}
	if !known {
		return nil, ErrNoHost
	}
	return nil, ErrNoPath
}

// KnowsHost reports whether any route serves host.
func (rt *Router) KnowsHost(host string) bool {
	name, _, ok := cleanHost(host)
	if ok {
		for range rt.nodes(name) {
			return true
		}
	}
	return false
}

// NamesHost reports whether a route names host, in whole or by a *. before it. Unlike
// KnowsHost it is false for what only routes for every host serve.
func (rt *Router) NamesHost(host string) bool {
	name, _, ok := cleanHost(host)
	if ok {
		for n := range rt.nodes(name) {
			return n != rt.any
		}
	}
	return false
}

// nodes yields the trees that serve a host, the most specific first.
func (rt *Router) nodes(name string) func(yield func(*node) bool) {
	return func(yield func(*node) bool) {
		if n := rt.exact[name]; n != nil && !yield(n) {
			return
		}
		if len(rt.suffix) > 0 {
			for i := 1; i < len(name); i++ {
				if name[i] != '.' {
					continue
				}
				if n := rt.suffix[name[i:]]; n != nil && !yield(n) {
					return
				}
			}
		}
		if rt.any != nil {
			yield(rt.any)
		}
	}
}

// find returns the leaf for the path below n. Every node is visited at most
// once, so paths cannot make it slow.
func (n *node) find(rest string) *leaf {
	segment, tail, more := strings.Cut(rest, "/")
	for _, next := range [...]*node{n.names[segment], n.star} {
		if next == nil || segment == "" {
			continue
		}
		if !more && next.itself != nil {
			return next.itself
		}
		if more {
			if l := next.find(tail); l != nil {
				return l
			}
		}
	}
	return n.below
}
