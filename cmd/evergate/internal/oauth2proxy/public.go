package oauth2proxy

import (
	"slices"
	"strings"
)

// every are the methods that a route can name.
var every = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// publicRoutes adds routes for what needs no sign-in, to the app that has the path.
// What is no plain path stays behind the sign-in.
func (x *importer) publicRoutes(top *outline, guarded []*route) []*route {
	all := slices.Clone(guarded)
	for _, flag := range []string{"skip-auth-route", "skip-auth-regex"} {
		values, from := x.all(flag)
		for i, v := range values {
			s := from[i]
			methods, expr, ok := methodsOf(flag, v)
			var paths []string
			var more bool
			if ok {
				paths, more, ok = pathsOf(expr)
			}
			if !ok {
				x.todo = append(x.todo, "make a public route by hand for what "+x.where(s.file, s.line)+" means")
				x.remark(top, s, "No path says the same as "+shown(v)+", so nothing is public by it. Add routes with public: true for the paths that are meant.")
				continue
			}
			note := capital(x.where(s.file, s.line)) + ", " + s.name + ": " + shown(v) + " needs no sign-in."
			if more {
				note += " It matches more paths than this; the others stay behind the sign-in."
			}
			above := x.above(s)
			x.use(s)
			served := false
			for _, p := range paths {
				if g, ok := x.gapAt(p); ok {
					x.todo = append(x.todo, "make a public route by hand for what "+x.where(s.file, s.line)+" means")
					x.remark(top, s, p+" is not public: the upstream on "+x.where(g.file, g.line)+", which is left out, served it, or a part of it. Write that route, and the public one beside it.")
					served = true
					continue
				}
				for _, g := range guarded {
					if at, ok := within(p, g.path, guarded); ok {
						all = open(all, g, at, methods, s.order(), note, above)
						above = nil
						served = true
					}
				}
			}
			if !served {
				x.remark(top, s, "No upstream serves "+strings.Join(paths, ", ")+".")
			}
		}
	}
	return withOtherMethods(all)
}

// withOtherMethods adds a route for the rest of each path that is public for some methods
// alone: what a route names by methods, no wider route serves. Who gets in there is as
// around it.
func withOtherMethods(all []*route) []*route {
	var wide []*route
	for _, r := range all {
		if r.methods == nil {
			wide = append(wide, r)
		}
	}
	for _, r := range slices.Clone(all) {
		if r.methods == nil || len(r.methods) == len(every) || slices.ContainsFunc(wide, func(w *route) bool { return w.path == r.path }) {
			continue
		}
		other := &route{path: r.path, order: r.order, lines: r.by.lines,
			notes: []string{"Without this route, no other method would be served on this path (405)."}}
		around := nearest(r.path, wide)
		if slices.ContainsFunc(wide, func(w *route) bool { return w.path == around && w.public }) {
			other.public, other.lines = true, withoutBearer(r.by.lines)
		}
		all = append(all, other)
	}
	return all
}

// withoutBearer are the lines of a route that is public, where tokens mean nothing.
func withoutBearer(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, "bearer:") })
}

// shown is an expression in a comment, cut where it is long.
func shown(s string) string {
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return printable(s)
}

// methodsOf reads METHOD=expression, and the expression alone, as oauth2-proxy does: the
// first = ends the method. With != it is every path but those, which no route says.
func methodsOf(flag, v string) (methods []string, expr string, ok bool) {
	method, rest, both := strings.Cut(v, "=")
	switch {
	case flag == "skip-auth-regex" || !both && !strings.Contains(v, "!="):
		return nil, v, true
	case strings.Contains(v, "!="):
		return nil, "", false
	case method == "":
		return nil, rest, true
	}
	method = strings.ToUpper(method)
	return []string{method}, rest, slices.Contains(every, method)
}

// within gives the part of a public path that a guarded route serves: the path itself
// where the route is the nearest one around it, or the whole route where that is below
// the path.
func within(public, guarded string, all []*route) (string, bool) {
	if guarded != public && strings.HasSuffix(public, "/") && strings.HasPrefix(guarded, public) {
		return guarded, true
	}
	return public, nearest(public, all) == guarded
}

// nearest is the path of the guarded route that serves p.
func nearest(p string, all []*route) (path string) {
	for _, r := range all {
		if r.path == p || strings.HasSuffix(r.path, "/") && strings.HasPrefix(p, r.path) {
			if len(r.path) > len(path) {
				path = r.path
			}
		}
	}
	return path
}

// open makes path public for methods, by the route that serves it.
func open(all []*route, by *route, path string, methods []string, order int, note string, above []string) []*route {
	same := slices.IndexFunc(all, func(r *route) bool { return r.path == path && (r.methods == nil) == (methods == nil) })
	if same >= 0 {
		r := all[same]
		r.above = append(r.above, above...)
		r.public = true
		for _, m := range methods {
			if !slices.Contains(r.methods, m) {
				r.methods = append(r.methods, m)
			}
		}
		if !slices.Contains(r.notes, note) {
			r.notes = append(r.notes, note)
		}
		return all
	}
	return append(all, &route{path: path, methods: methods, public: true, by: by, order: order, above: above, notes: []string{note}, lines: withoutBearer(by.lines)})
}
