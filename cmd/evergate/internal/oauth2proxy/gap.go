package oauth2proxy

import (
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"
)

// gap is an upstream that is left out. What it served no other app is to serve to people who
// are not signed in, though another route may be around it here.
type gap struct {
	upstream
	prefix string         // of all paths that it served
	more   bool           // it served others than prefix alone
	expr   *regexp.Regexp // they match it; nil does not say
}

// gapOf tells what u served. oauth2-proxy takes the path of an upstream with rewriteTarget for
// an expression, and one that ends in / for all below it. What cannot be read may be anything.
func gapOf(u upstream) gap {
	g := gap{upstream: u, prefix: u.path, more: true}
	if uri, err := url.Parse(u.uri); u.path == "" && err == nil {
		g.prefix = uri.Path
		if uri.Scheme == "file" && uri.Fragment != "" {
			g.prefix = uri.Fragment
		}
	}
	if u.rewrite == "" && !strings.HasPrefix(u.path, "^") {
		g.more = g.prefix == "" || strings.HasSuffix(g.prefix, "/") || strings.Contains(g.prefix, "{")
		g.prefix, _, _ = strings.Cut(g.prefix, "{") // a variable of its router
		return g
	}
	g.prefix = ""
	if re, err := syntax.Parse(u.path, syntax.Perl); err == nil {
		g.expr, _ = regexp.Compile(u.path)
		g.prefix = literalPrefix(re.Simplify())
	}
	return g
}

// literalPrefix is what every match of an anchored expression begins with.
func literalPrefix(re *syntax.Regexp) string {
	if re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText {
		return ""
	}
	if first := re.Sub[1]; first.Op == syntax.OpLiteral && first.Flags&syntax.FoldCase == 0 {
		return string(first.Rune)
	}
	return ""
}

// served reports whether the upstream may have served path, which is one of pathOf's.
func (g gap) served(path string) bool {
	begin, _, wild := strings.Cut(path, "*")
	if wild || strings.HasSuffix(path, "/") {
		return strings.HasPrefix(g.prefix, begin) || g.more && strings.HasPrefix(begin, g.prefix)
	}
	if !g.more {
		return path == g.prefix
	}
	return strings.HasPrefix(path, g.prefix) && (g.expr == nil || g.expr.MatchString(path))
}

// gapAt finds an upstream that is left out and may have served path.
func (x *importer) gapAt(path string) (gap, bool) {
	for _, g := range x.gaps {
		if g.served(path) {
			return g, true
		}
	}
	return gap{}, false
}
