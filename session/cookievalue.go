package session

import (
	"net/http"
	"strings"
)

// What is here is asked for every request, and what it says is only used to find a verdict on
// the very same bytes: whether they are a cookie at all, net/http says the first time.

// pairs goes through what r brings of cookies, as it stands there.
type pairs struct {
	lines []string
	rest  string // of the line before those
}

func pairsOf(r *http.Request) pairs { return pairs{lines: r.Header["Cookie"]} }

// next returns a name, which is "" where there is nothing of one, and what stands behind it.
// The name alone, without a "=", has "" behind it.
func (p *pairs) next() (name, value string, ok bool) {
	for p.rest == "" {
		if len(p.lines) == 0 {
			return "", "", false
		}
		p.rest, p.lines = p.lines[0], p.lines[1:]
	}
	name = p.rest
	if end := strings.IndexByte(name, ';'); end >= 0 {
		name, p.rest = name[:end], name[end+1:]
	} else {
		p.rest = ""
	}
	if at := strings.IndexByte(name, '='); at >= 0 {
		name, value = name[:at], name[at+1:]
	}
	for name != "" && isBlank(name[0]) {
		name = name[1:]
	}
	return trimRight(name), trimRight(value), true
}

func trimRight(s string) string {
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// isBlank reports whether net/http takes c away around a pair, also where no server lets it
// through.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// cookiesOf returns what stands behind the name of a cookie that r brings once, and "" where r
// brings it otherwise; and whether it may bring one of another name as well.
func cookiesOf(r *http.Request, name, other string) (sole string, another bool) {
	for p, seen := pairsOf(r), 0; ; {
		this, value, ok := p.next()
		switch {
		case !ok:
			if seen > 1 {
				return "", another
			}
			return sole, another
		case this == name:
			seen++
			sole = value
		case this == other:
			another = true
		}
	}
}
