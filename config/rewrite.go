package config

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/pathrule"
)

// What host: may say beside a name.
const (
	HostPreserve = "preserve"
	HostUpstream = "upstream"
)

// checkRewriting looks at how requests of a route differ upstream.
func (c *Config) checkRewriting(r *Route, path string) {
	stripped := c.checkPrefix(r.StripPrefix, path+".strip_prefix")
	c.checkPrefix(r.AddPrefix, path+".add_prefix")
	if stripped && r.Match.Path != r.StripPrefix && !strings.HasPrefix(r.Match.Path, r.StripPrefix+"/") {
		at := path + ".match.path"
		if !c.given(at) {
			at = path + ".strip_prefix"
		}
		c.wrong("write match: { path: "+r.StripPrefix+"/ }", at, "the route also matches requests that are not under %s, which cannot be taken off them", r.StripPrefix)
	}
	c.checkPathRule(r, path+".rewrite")
	c.checkHostSent(r.Host, path+".host")
	c.checkHeaders(&r.RequestHeaders, path+".request_headers", inject.RequestRefusal)
	c.checkHeaders(&r.ResponseHeaders, path+".response_headers", inject.AnswerRefusal)
}

// maxExpressions bounds the expressions of a file together, in steps of their machines:
// each is compiled at every load. 10,000 that are as long as usual come to half of it.
const maxExpressions = 300000

// checkPrefix reports whether a prefix is given and can be one.
func (c *Config) checkPrefix(p, path string) bool {
	if !c.given(path) {
		return false
	}
	switch msg := badPath(p); {
	case p == "" || p == "/":
		c.wrong("leave the line out", path, "%q is everything, so it changes nothing", p)
	case msg != "":
		c.wrong("write it as /app", path, "%s", msg)
	case strings.HasSuffix(p, "/"):
		c.wrong("write "+strings.TrimRight(p, "/"), path, "a prefix is written without a slash at its end")
	case strings.Contains(p, "*"):
		c.wrong("", path, "%q holds a *, and a prefix is one path", p)
	default:
		return true
	}
	return false
}

func (c *Config) checkPathRule(r *Route, path string) {
	if r.Rewrite == nil {
		return
	}
	if r.StripPrefix != "" || r.AddPrefix != "" {
		c.wrong("say all of it in rewrite, or none", path, "it does not go with strip_prefix and add_prefix")
	}
	if c.doc.expressions += pathrule.Cost(r.Rewrite.Path); c.doc.expressions > maxExpressions {
		c.wrong("write those that repeat something often, as x{100} does, in another way", path+".path", "with this one the expressions of the file are larger than they may be together")
		return
	}
	_, err := pathrule.Compile(r.Rewrite.Path, r.Rewrite.To)
	if err == nil {
		return
	}
	hint := ""
	if r.Rewrite.Path == "" || r.Rewrite.To == "" {
		hint = "write it as rewrite: { path: ^/old/(.*)$, to: /new/$1 }"
	}
	if near := nearest(err.Word, err.Known); near != "" {
		hint = "did you mean $${" + near + "}?"
	}
	c.wrong(hint, path+"."+err.Key, "%s", err)
}

func (c *Config) checkHostSent(host, path string) {
	if !c.given(path) || host == HostPreserve || host == HostUpstream {
		return
	}
	name, port, hasPort := strings.Cut(host, ":")
	switch near := nearest(host, []string{HostPreserve, HostUpstream}); {
	case near != "":
		c.wrong("did you mean "+near+"?", path, "want preserve, upstream or a host name, got %q", host)
	case name == "" || strings.ContainsAny(name, "/@ []\\?#%*\"'") || strings.HasPrefix(name, ".") || strings.Contains(name, "..") || hasPort && !isPort(port):
		c.wrong("write it as wiki.internal or wiki.internal:8080, with no scheme and path", path, "want preserve, upstream or a host name, got %q", host)
	}
}

// checkHeaders looks at what a route does to headers; refusal says which are not
// its own to touch.
func (c *Config) checkHeaders(h *Headers, path string, refusal func(string) string) {
	first := map[string]string{} // where a name was before, by how it folds
	name := func(name, at string) {
		folded := inject.Fold(name)
		why := refusal(name)
		switch {
		case !isToken(name) || len(name) > inject.MaxName:
			c.wrong("", at, "%q is no header name of 1 to %d bytes", name, inject.MaxName)
		case why != "":
			c.wrong("remove it", at, "%s is not a route's to set: %s", name, why)
		case first[folded] != "":
			c.wrong("keep one of the two", at, "%s is on line %d already; many apps see no difference in case, - and _", name, c.doc.node(first[folded]).Line)
		default:
			first[folded] = at
		}
	}
	for _, op := range []struct {
		key    string
		values map[string]string
	}{{"set", h.Set}, {"add", h.Add}} {
		for _, n := range slices.Sorted(maps.Keys(op.values)) {
			at := path + "." + op.key + "." + n
			name(n, at)
			c.checkTemplate(op.values[n], at)
		}
	}
	for i, n := range h.Remove {
		name(n, fmt.Sprintf("%s.remove[%d]", path, i))
	}
}

func (c *Config) checkTemplate(value, at string) {
	_, err := inject.Parse(value)
	if err == nil {
		return
	}
	hint := ""
	if unknown, ok := errors.AsType[*inject.UnknownError](err); ok {
		if head, claim, ok := strings.Cut(unknown.Word, "."); ok && claim != "" && nearest(head, []string{"claims"}) != "" {
			hint = "did you mean {claims." + claim + "}?"
		} else if near := nearest(unknown.Word, inject.Words); near != "" {
			hint = "did you mean {" + near + "}?"
		}
	}
	c.wrong(hint, at, "%s", err)
}

// checkPassed refuses to let a header of the client through that the route replaces.
func (c *Config) checkPassed(r *Route, path string) {
	own := map[string]bool{}
	set, added := maps.Keys(r.RequestHeaders.Set), maps.Keys(r.RequestHeaders.Add) // an app may believe the first of two
	for _, name := range slices.Concat(slices.Collect(set), slices.Collect(added), r.RequestHeaders.Remove) {
		own[inject.Fold(name)] = true
	}
	for i, passed := range r.PassHeaders {
		at := fmt.Sprintf("%s.pass_headers[%d]", path, i)
		if inject.IsGateways(passed) && !strings.EqualFold(inject.Fold(passed), passed) {
			c.wrong("remove it", at, "many apps see no difference between %s and %s, by which the gateway says who somebody is and where they come from: clients could say it",
				passed, http.CanonicalHeaderKey(inject.Fold(passed)))
		}
		if own[inject.Fold(passed)] {
			c.wrong("keep one of the two", at, "%s is let through here, and set, added or removed by request_headers", passed)
		}
	}
}

// warnPassed tells of headers that apps are known to believe, and that clients could say.
func (c *Config) warnPassed(r *Route, path string, warn warner) {
	for i, passed := range r.PassHeaders {
		at := fmt.Sprintf("%s.pass_headers[%d]", path, i)
		switch {
		case inject.IsGateways(passed) && !strings.EqualFold(passed, "Authorization"):
			warn(at, "the gateway sets %s itself, and nothing that a client sends gets through under it; remove it", passed)
		case inject.IsIdentity(passed):
			warn(at, "an app that believes %s believes anybody who sends it, signed in or not; remove it, or have the gateway say who is signed in: request_headers: { set: { %s: \"{user}\" } }",
				passed, passed)
		case inject.Danger(passed) != "":
			warn(at, "an app that believes %s %s; remove it", passed, inject.Danger(passed))
		}
	}
}
