package proxy

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/evergate/evergate/internal/web"
)

// Bounds of the ways in which one path may be read. A path with one of each
// oddity has some 26; escapes within escapes would have no end.
const (
	maxReadings = 32
	maxNested   = 3

	nested = "it holds escapes within escapes"
)

// pathMarks is what examine saw in a path.
type pathMarks struct {
	chars PathChars
	again bool // an escape that, decoded, makes another escape
	delim bool // an escape of a delimiter
}

// examine looks for what is refused in every path, and marks what has other
// readings. The path is canonical.
func examine(p string) (m pathMarks, why web.Message) {
	wide := false
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case ';':
			m.chars |= Semicolon
		case '/':
			if i > 0 && p[i-1] == '/' {
				m.chars |= DoubleSlash
			}
		case '%':
			c := unhex(p[i+1])<<4 | unhex(p[i+2])
			switch {
			case c < ' ' || c == 0x7f:
				return m, "it holds a control character"
			case c == '\\':
				return m, "it holds a backslash"
			case c == '/':
				m.chars |= EncodedSlash
			case c == '%':
				m.again = m.again || i+4 < len(p) && isHex(p[i+3]) && isHex(p[i+4])
			case c >= utf8.RuneSelf:
				wide = true
			case bare(c) || c == '?' || c == '#':
				m.delim = true
			}
			i += 2
		}
	}
	if wide {
		if why = examineRunes(p); why != "" {
			return m, why
		}
	}
	for rest, more := p, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if isDots(segment) {
			return m, "it holds a dot segment"
		}
	}
	return m, ""
}

// examineRunes looks at what the escapes of bytes above ASCII spell.
func examineRunes(p string) web.Message {
	text, err := url.PathUnescape(p)
	if err != nil || !utf8.ValidString(text) {
		return "it is not valid UTF-8" // overlong forms are among these
	}
	for segment := range strings.SplitSeq(strings.ReplaceAll(text, "\uff0f", "/"), "/") {
		folded := strings.Map(func(r rune) rune {
			switch r { // what compatibility normalisation makes a full stop of
			case '\uff0e', '\u2024', '\ufe52':
				return '.'
			}
			return r
		}, strings.ReplaceAll(segment, "\u2025", ".."))
		if isDots(folded) {
			return "it holds a dot segment"
		}
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "it holds a control character"
	}
	return ""
}

// isDots reports whether a segment is "." or "..", also with parameters behind.
func isDots(segment string) bool {
	if segment == "" || segment[0] != '.' {
		return false
	}
	name, _, _ := strings.Cut(segment, ";")
	return name == "." || name == ".."
}

// readings returns every path that p could be taken for: decoded once more,
// delimiters decoded, cut off at an encoded "?" or "#", encoded slashes as
// slashes, parameters dropped, empty segments dropped, and all of these
// together. Chars are the oddities that p holds itself or once decoded again.
func readings(p string) (chars PathChars, others []string, why web.Message) {
	type reading struct {
		path string
		own  bool // p itself, or p decoded again
		deep int  // how often
	}
	all := []reading{{p, true, 0}}
	seen := map[string]bool{p: true}
	for i := 0; i < len(all); i++ {
		this := all[i]
		m, why := examine(this.path)
		if why != "" {
			return 0, nil, why
		}
		if this.own {
			chars |= m.chars
		}
		for _, step := range [...]struct {
			take   bool
			deeper bool
			as     func(string) string
		}{
			{m.again, true, decodeAgain},
			{m.delim, false, decodeDelimiters},
			{m.delim, false, cutDelimiter},
			{m.chars&EncodedSlash != 0, false, decodeSlashes},
			{m.chars&Semicolon != 0, false, dropParameters},
			{m.chars&DoubleSlash != 0, false, collapseSlashes},
		} {
			if !step.take {
				continue
			}
			deep := this.deep
			if step.deeper {
				if deep++; deep > maxNested {
					return 0, nil, nested
				}
			}
			if next := step.as(this.path); !seen[next] {
				seen[next] = true
				all = append(all, reading{next, this.own && step.deeper, deep})
			}
		}
		if len(all) > maxReadings {
			return 0, nil, nested
		}
	}
	for _, r := range all[1:] {
		others = append(others, r.path)
	}
	return chars, others, ""
}

func decodeAgain(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		b.WriteByte(p[i])
		if p[i] == '%' && p[i+1] == '2' && p[i+2] == '5' && i+4 < len(p) && isHex(p[i+3]) && isHex(p[i+4]) {
			i += 2
		}
	}
	again, ok := canonicalPath(b.String())
	if !ok {
		return p // cannot be: every percent sign left has its digits
	}
	return again
}

func decodeSlashes(p string) string { return strings.ReplaceAll(p, "%2F", "/") }

func decodeDelimiters(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '%' {
			if c := unhex(p[i+1])<<4 | unhex(p[i+2]); c != '/' && c != '%' && bare(c) {
				b.WriteByte(c)
			} else {
				b.WriteString(p[i : i+3])
			}
			i += 2
			continue
		}
		b.WriteByte(p[i])
	}
	return b.String()
}

func cutDelimiter(p string) string {
	if i := strings.Index(p, "%3F"); i >= 0 {
		p = p[:i]
	}
	if i := strings.Index(p, "%23"); i >= 0 {
		p = p[:i]
	}
	return p
}

func dropParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

func collapseSlashes(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}
