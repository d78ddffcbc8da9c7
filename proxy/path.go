package proxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

// PathChars is a set of things in a path that servers read in different ways.
// They are refused unless a route allows them. The zero value is none.
type PathChars uint8

// What a route may allow in its paths.
const (
	EncodedSlash PathChars = 1 << iota // %2F inside a segment (GitLab, RabbitMQ)
	Semicolon                          // ;parameters (Java servers)
	DoubleSlash                        // empty segments, as in /a//b
)

// MaxPath is the longest path that is served, in bytes, both as sent and in its
// canonical form.
const MaxPath = 8 << 10

// Target is a request target in its canonical form.
type Target struct {
	// Path is the canonical escaped path: escapes of unreserved characters
	// decoded, hex digits in upper case, what may not stand bare escaped
	// (RFC 3986 section 6.2.2). Clean of a Path gives the same Path.
	Path string
	// RawQuery is what follows the first "?", byte for byte.
	RawQuery string
	// ForceQuery says that there was a "?" with nothing behind it.
	ForceQuery bool
	// Chars are the oddities in Path. A route must allow all of them.
	Chars PathChars
	// Readings are the other paths that an upstream could take Path for. All of
	// them must lead to the route that Path leads to.
	Readings []string

	spelled bool // the path was sent in its canonical form
}

// URI returns the path and query, as they go onto the wire.
func (t *Target) URI() string {
	if t.RawQuery == "" && !t.ForceQuery {
		return t.Path
	}
	return t.Path + "?" + t.RawQuery
}

// setURL makes u the target below base, such that u.RequestURI() is exactly
// base + URI(). URL.Opaque would do that too, but nothing checks it.
func (t *Target) setURL(u *url.URL, base string) {
	u.RawPath = base + t.Path
	u.Path, _ = url.PathUnescape(u.RawPath) // cannot fail: Clean has decoded it
	u.RawQuery, u.ForceQuery = t.RawQuery, t.ForceQuery
	u.Opaque, u.User, u.Fragment, u.RawFragment, u.OmitHost = "", nil, "", "", false
}

// Clean returns the canonical form of an origin-form request target (RFC 9112
// section 3.2.1), or the 400 or 414 to answer. Oddities outside of allow are
// refused at once; the rest is for the route to decide.
//
// An escape of a percent sign is data: /100%25 passes. Where two hex digits
// follow (%252e) an upstream that decodes twice would see something else, so
// that is a reading as well: refused if it holds a dot segment, a backslash or a
// control character, and held to lead to the same route otherwise. The same
// goes for escapes of delimiters (%3B, %3F, %23, …).
//
// The absolute form is refused whatever its host: it is for forward proxies, no
// browser sends it here, and net/http drops the Host header that came with it,
// so that a difference between the two could not be seen.
func Clean(target string, allow PathChars) (Target, *web.Error) {
	if t, ok := cleanPlain(target); ok {
		return t, nil
	}
	return cleanAny(target, allow)
}

// cleanPlain is Clean for what most targets are: a path of unreserved characters that has one
// reading and is canonical as it stands. The rest is for cleanAny, which would say the same of
// these.
func cleanPlain(target string) (t Target, ok bool) {
	if target == "" || target[0] != '/' {
		return t, false
	}
	end := len(target)
	for i := 1; i < len(target); i++ {
		c := target[i]
		if plainChars[c] || c == '/' && target[i-1] != '/' || c == '.' && target[i-1] != '/' {
			continue
		}
		if c != '?' {
			return t, false
		}
		end = i
		break
	}
	if end > MaxPath {
		return t, false
	}
	t.Path, t.spelled = target[:end], true
	if end < len(target) {
		for i := end; i < len(target); i++ {
			if c := target[i]; c <= ' ' || c == 0x7f || c == '#' {
				return t, false
			}
		}
		t.RawQuery = target[end+1:]
		t.ForceQuery = t.RawQuery == ""
	}
	return t, true
}

// plainChars are the unreserved characters (RFC 3986 section 2.3) but the full stop, which makes
// dot segments.
var plainChars = func() (t [256]bool) {
	for c := range t {
		t[c] = unreserved(byte(c)) && c != '.'
	}
	return t
}()

func cleanAny(target string, allow PathChars) (Target, *web.Error) {
	var t Target
	if !strings.HasPrefix(target, "/") {
		return t, badTarget("it does not start with a slash")
	}
	path, query, hasQuery := strings.Cut(target, "?")
	if len(path) > MaxPath {
		return t, tooLong()
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f || c == '#' {
			return t, badTarget("it holds a space, a control character or a fragment")
		}
	}
	canonical, ok := canonicalPath(path)
	if !ok {
		return t, badTarget("it holds a percent sign without two hex digits; write %25 for the sign itself")
	}
	if len(canonical) > MaxPath {
		return t, tooLong() // it grew by being escaped
	}
	t = Target{Path: canonical, RawQuery: query, ForceQuery: hasQuery && query == "", spelled: canonical == path}
	if strings.HasPrefix(canonical, "//") {
		return t, badTarget("it starts with two slashes") // a host to some parsers, whatever a route allows
	}
	marks, why := examine(canonical)
	if why == "" && marks != (pathMarks{}) {
		t.Chars, t.Readings, why = readings(canonical)
	}
	if why != "" {
		return t, badTarget(why)
	}
	if t.Chars&^allow != 0 {
		return t, oddTarget(t.Chars &^ allow)
	}
	if !isSimple(canonical) && !writtenAs(canonical) {
		return t, badTarget("it cannot be forwarded as it was sent")
	}
	return t, nil
}

// isSimple reports whether p has nothing but unreserved characters and slashes, which stand
// for themselves to everybody.
func isSimple(p string) bool {
	for i := range len(p) {
		if p[i] != '/' && !unreserved(p[i]) {
			return false
		}
	}
	return true
}

// writtenAs reports whether net/http puts canonical onto the wire unchanged.
// It always should: this is the assertion behind the first idea in doc.go.
func writtenAs(canonical string) bool {
	plain, err := url.PathUnescape(canonical)
	return err == nil && (&url.URL{Path: plain, RawPath: canonical}).EscapedPath() == canonical
}

func tooLong() *web.Error {
	return &web.Error{Status: http.StatusRequestURITooLong, Code: "path_too_long",
		Detail: "The path of this address is longer than {size}.", Args: web.Args{"size": web.T("{count} bytes", "count", MaxPath)}}
}

func badTarget(why web.Message, args ...any) *web.Error {
	return &web.Error{Status: http.StatusBadRequest, Code: "bad_path", Title: "This address cannot be served",
		Detail: "The path can be read in more than one way: {why}.", Args: web.Args{"why": web.T(why, args...)}}
}

func oddTarget(odd PathChars) *web.Error {
	var names []web.Text
	for _, c := range []struct {
		char PathChars
		name web.Message
	}{{Semicolon, "a semicolon"}, {DoubleSlash, "an empty segment"}, {EncodedSlash, "an encoded slash"}} {
		if odd&c.char != 0 {
			names = append(names, web.T(c.name))
		}
	}
	return badTarget("it holds {chars}", "chars", web.Join("{a} and {b}", names...))
}

// canonicalPath returns p with escapes of unreserved characters decoded, other
// escapes in upper case, and everything that net/url would escape escaped.
func canonicalPath(p string) (string, bool) {
	plain := true
	for i := range len(p) {
		if !bare(p[i]) {
			plain = false
			break
		}
	}
	if plain {
		return p, true
	}
	var b strings.Builder
	b.Grow(len(p) + 8)
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '%':
			if i+2 >= len(p) || !isHex(p[i+1]) || !isHex(p[i+2]) {
				return "", false
			}
			c = unhex(p[i+1])<<4 | unhex(p[i+2])
			i += 2
			if unreserved(c) {
				b.WriteByte(c)
			} else {
				writeEscape(&b, c)
			}
		case bare(c):
			b.WriteByte(c)
		default:
			writeEscape(&b, c)
		}
	}
	return b.String(), true
}

// unreserved is RFC 3986 section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// bare reports whether net/url lets c stand unescaped in URL.RawPath.
func bare(c byte) bool {
	switch c {
	case '/', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@', '[', ']':
		return true
	}
	return unreserved(c)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

func writeEscape(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}
