package proxy

import (
	"strings"

	"github.com/evergate/evergate/internal/pathrule"
	"github.com/evergate/evergate/internal/web"
)

// Rewrite is how the paths of a route look to its upstream, where that is not how
// the browser sent them. The zero value changes nothing.
//
// The rule has decided on the canonical path, and that string is what is
// rewritten; nothing is parsed a second time. The result is examined as if a
// client had sent it.
type Rewrite struct {
	// StripPrefix, such as "/w", is taken off. The route's path must lie under it.
	StripPrefix string
	// AddPrefix, such as "/app", is put in front of what is left.
	AddPrefix string
	// Pattern is a regular expression for whole paths in their canonical form, and To
	// what stands in place of one; see pathrule.Compile. Paths that it does not match
	// go up as they are. It does not go with the prefixes.
	Pattern, To string

	rule   *pathrule.Rule
	folder string // of To, which nothing that a group holds can leave
}

// changes reports whether there is anything to do.
func (w *Rewrite) changes() bool { return w.StripPrefix != "" || w.AddPrefix != "" || w.rule != nil }

// prepare puts what is written into canonical form and says what is wrong with it.
func (w *Rewrite) prepare(pattern string, chars PathChars, fault func(key, format string, args ...any)) {
	w.prepareRule(chars, fault)
	prefix := func(key, p string) string {
		if p == "" {
			return ""
		}
		if why := checkPrefix(p); why != "" {
			fault(key, "%q %s", p, why)
			return ""
		}
		p, _ = canonicalPath(p)
		return p
	}
	w.StripPrefix, w.AddPrefix = prefix("strip_prefix", w.StripPrefix), prefix("add_prefix", w.AddPrefix)
	if path, ok := canonicalPath(pattern); ok && !isUnder(path, w.StripPrefix) {
		fault("strip_prefix", "the route's path %s is not under %s, so requests could come without it; write match.path: %s/",
			pattern, w.StripPrefix, w.StripPrefix)
	}
}

// prepareRule is prepare for Pattern and To.
func (w *Rewrite) prepareRule(chars PathChars, fault func(key, format string, args ...any)) {
	if w.Pattern == "" && w.To == "" {
		return
	}
	if w.StripPrefix != "" || w.AddPrefix != "" {
		fault("rewrite", "it does not go with strip_prefix and add_prefix; say all of it in one expression")
		return
	}
	rule, wrong := pathrule.Compile(w.Pattern, w.To)
	if wrong != nil {
		fault("rewrite."+wrong.Key, "%s", wrong)
		return
	}
	sample := ""
	for i, part := range rule.To {
		text, ok := canonicalPath(part.Text)
		if !ok {
			fault("rewrite.to", "%q holds a percent sign without two hex digits; write %%25 for the sign itself", w.To)
			return
		}
		if rule.To[i].Text = text; part.Group != 0 {
			text = "x"
		}
		sample += text
	}
	t, err := Clean(sample, chars)
	switch {
	case err != nil:
		fault("rewrite.to", "no app would be sent what %q makes of a path: %s", w.To, err.Detail)
		return
	case isReserved(t.Path):
		fault("rewrite.to", "%q is the gateway's own", w.To)
		return
	}
	if head := rule.To[0].Text; len(rule.To) > 1 {
		w.folder = head[:strings.LastIndexByte(head, '/')]
	}
	w.rule = rule
}

// checkPrefix says what is wrong with a prefix of paths, if anything.
func checkPrefix(p string) string {
	switch {
	case strings.HasSuffix(p, "/"):
		return "ends in a slash; write it without"
	case strings.Contains(p, "*"):
		return "holds a *; a prefix is one path"
	}
	return checkPattern(p)
}

// isUnder reports whether path is prefix, or below it. Everything is under "".
func isUnder(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (prefix == "" || rest == "" || rest[0] == '/')
}

// apply returns the target that goes up for t, or the 400 to answer.
func (w *Rewrite) apply(t *Target, allow PathChars) (Target, *web.Error) {
	if !w.changes() {
		return *t, nil
	}
	if w.rule != nil {
		path, ok := w.rule.Apply(t.Path)
		if !ok {
			return *t, nil
		}
		return t.at(path, w.folder, allow)
	}
	if !isUnder(t.Path, w.StripPrefix) {
		return Target{}, badTarget("it does not begin with {prefix}", "prefix", w.StripPrefix)
	}
	path := w.AddPrefix + t.Path[len(w.StripPrefix):]
	if path == "" {
		path = "/" // /w is what the app calls its root
	}
	return t.at(path, w.AddPrefix, allow)
}

// at is t with another path, examined as a client's own would be. No reading of
// it may leave the folder.
func (t *Target) at(path, folder string, allow PathChars) (Target, *web.Error) {
	up, err := Clean(path, allow)
	if err != nil {
		return Target{}, err
	}
	up.RawQuery, up.ForceQuery = t.RawQuery, t.ForceQuery
	if !up.spelled {
		return Target{}, badTarget("what it is rewritten to can be written in another way")
	}
	if isReserved(up.Path) {
		return Target{}, badTarget("it is rewritten to one of the gateway's own")
	}
	for _, reading := range up.Readings {
		switch {
		case isReserved(reading):
			return Target{}, badTarget("it could be taken for one of the gateway's own")
		case strings.HasPrefix(reading, "//"): // a host to some parsers
			return Target{}, badTarget("what it is rewritten to starts with two slashes once decoded")
		case !isUnder(reading, folder):
			return Target{}, badTarget("another reading of it leads out of {folder}", "folder", folder)
		}
	}
	return up, nil
}
