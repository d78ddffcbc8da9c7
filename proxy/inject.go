package proxy

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/inject"
)

// Headers are what a route does to the header of requests or of answers, by name.
// Values may hold the placeholders of [inject.Words] in braces; one that has no
// value leaves its whole header out.
type Headers struct {
	// Set replaces whatever came under the name.
	Set map[string]string
	// Add puts one more line beside what came.
	Add map[string]string
	// Remove takes the name away.
	Remove []string
}

// headerLine is one header that a route sets or adds.
type headerLine struct {
	name  string // canonical, whatever the file has (CVE-2026-33433)
	parts []inject.Part
	add   bool
	list  bool        // it has separators of its own, so a value must not bring one
	told  atomic.Bool // the log has heard that it was left out
}

// headerLines are Headers, ready for use.
type headerLines struct {
	lines   []*headerLine
	removed []string // canonical: what came under these goes
}

// prepare reads h, whose names are held against refusal. Key is that of h.
func (h *Headers) prepare(key string, refusal func(string) string, fault func(key, format string, args ...any)) (out headerLines) {
	seen := map[string]bool{}
	usable := func(name string) bool {
		why := refusal(name)
		switch {
		case !isHeaderName(name):
			fault(key, "%q is no header name of 1 to %d bytes", name, inject.MaxName)
		case why != "":
			fault(key, "%s is not a route's to set: %s", name, why)
		case seen[inject.Fold(name)]:
			fault(key, "%s is there twice; many apps see no difference in case, - and _", name)
		default:
			seen[inject.Fold(name)] = true
			return true
		}
		return false
	}
	line := func(name, value string, add bool) {
		parts, err := inject.Parse(value)
		if err != nil {
			fault(key, "%s: %q: %s", name, value, err)
			return
		}
		isList := func(p inject.Part) bool { return p.Kind == inject.Text && strings.Contains(p.Text, ",") }
		out.lines = append(out.lines, &headerLine{name: http.CanonicalHeaderKey(name), parts: parts, add: add,
			list: add || slices.ContainsFunc(parts, isList)}) // lines of one name are read as a list
	}
	for _, name := range slices.Sorted(maps.Keys(h.Set)) {
		if usable(name) {
			line(name, h.Set[name], false)
			out.removed = append(out.removed, http.CanonicalHeaderKey(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Add)) {
		if usable(name) {
			line(name, h.Add[name], true)
		}
	}
	for _, name := range h.Remove {
		if usable(name) {
			out.removed = append(out.removed, http.CanonicalHeaderKey(name))
		}
	}
	return out
}

func isHeaderName(name string) bool {
	for i := range len(name) {
		if !unreserved(name[i]) && strings.IndexByte("!#$%&'*+^`|", name[i]) < 0 {
			return false
		}
	}
	return name != "" && len(name) <= inject.MaxName
}

// setDropped tells every route what clients must not send on it: what any route
// sets, for an app behind two routes believes it on both, and what the route itself
// replaces or removes.
func setDropped(routes []*Route) {
	everywhere := map[string]bool{}
	for _, r := range routes {
		if r.credential != "" {
			everywhere[inject.Fold(r.credential)] = true
		}
		if r.DPoP != nil {
			everywhere[inject.Fold(dpop.Header)] = true
		}
		for _, l := range r.up.lines {
			if !inject.IsBrowsers(l.name) { // those are others' to have
				everywhere[inject.Fold(l.name)] = true
			}
		}
	}
	free := freeOf(everywhere)
	for _, r := range routes {
		r.dropped, r.free = everywhere, free
		if len(r.up.removed) > 0 {
			r.dropped = maps.Clone(everywhere)
			for _, name := range r.up.removed {
				r.dropped[inject.Fold(name)] = true
			}
			r.free = freeOf(r.dropped)
		}
	}
}

// freeOf are the usual names that are not in dropped.
func freeOf(dropped map[string]bool) map[string]bool {
	free := maps.Clone(usual)
	maps.DeleteFunc(free, func(name string, _ bool) bool { return dropped[inject.Fold(name)] })
	return free
}

// apply takes away what goes and puts the lines into h. A value that cannot be a
// header is left out, and told once: the next request will have it too.
func (l *headerLines) apply(h http.Header, c *carriage) {
	for _, name := range l.removed {
		delete(h, name)
	}
	for _, line := range l.lines {
		value, ok := line.value(c)
		if !ok && !line.told.Swap(true) {
			c.log.Warn("a value cannot be a header and was left out; this is said once", "request_id", c.note.ID,
				"route", c.route.label, "header", line.name)
		}
		if ok && value != "" {
			h[line.name] = append(h[line.name], value)
		}
	}
}

// namesSomebody reports whether a line says something of whoever is signed in.
func (l *headerLines) namesSomebody() bool {
	return slices.ContainsFunc(l.lines, func(line *headerLine) bool {
		return slices.ContainsFunc(line.parts, func(p inject.Part) bool {
			return p.Kind != inject.Text && p.Kind != inject.RequestID && p.Kind != inject.RouteName
		})
	})
}

// value fills in what a line says. It is "" where any part has no value, for half
// a value means something else.
func (l *headerLine) value(c *carriage) (value string, ok bool) {
	var b strings.Builder
	for _, p := range l.parts {
		s, ok := partValue(p, c)
		if !ok {
			return "", false
		}
		if s == "" {
			return "", true
		}
		if l.list && p.Kind != inject.Text && !isJoined(p, c) {
			if s, ok = joinList([]string{s}); !ok {
				return "", false
			}
		}
		b.WriteString(s)
	}
	value = b.String()
	return value, inject.IsPlain(value)
}

// isJoined reports whether a part was made of a list, whose separators are its own.
func isJoined(p inject.Part, c *carriage) bool {
	if p.Kind != inject.Claim {
		return p.Kind == inject.Groups
	}
	_, list := claimOf(&c.login.Identity, p.Text).([]any)
	return list
}

func partValue(p inject.Part, c *carriage) (value string, ok bool) {
	switch p.Kind {
	case inject.Text:
		return p.Text, true
	case inject.RequestID:
		return c.note.ID, true
	case inject.RouteName:
		return c.route.label, true
	}
	if c.login == nil {
		return "", true
	}
	id := &c.login.Identity
	switch p.Kind {
	case inject.User:
		return id.User, !strings.HasPrefix(id.User, id.Provider+"/") || isPlainUser(id)
	case inject.Email:
		return id.Email, true
	case inject.Groups:
		return joinList(id.Groups)
	case inject.SessionID:
		if c.login.Session == nil {
			return "", true
		}
		return c.login.Session.ID(), true
	}
	return claimValue(claimOf(id, p.Text))
}

// claimOf is a claim of the provider. Users kept here have no provider; the usual names
// mean what is known of them all the same.
func claimOf(id *auth.Identity, path string) any {
	if id.Claims != nil {
		return auth.Claim(id.Claims, path)
	}
	switch path {
	case "sub":
		return id.Subject
	case "preferred_username":
		return id.PreferredUsername
	case "name":
		return id.Name
	case "email":
		return id.Email
	case "groups":
		groups := make([]any, len(id.Groups))
		for i, g := range id.Groups {
			groups[i] = g
		}
		return groups
	}
	return nil
}

// claimValue writes a claim as a header has it: a text, a number, a truth, or a
// list of these. What is deeper has no form that all apps would read alike.
func claimValue(claim any) (string, bool) {
	switch v := claim.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case json.Number:
		return v.String(), true
	case []any:
		list := make([]string, len(v))
		for i, item := range v {
			if _, deeper := item.([]any); deeper {
				return "", false
			}
			s, ok := claimValue(item)
			if !ok {
				return "", false
			}
			list[i] = s
		}
		return joinList(list)
	}
	return "", false
}
