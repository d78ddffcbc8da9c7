package attacks

import (
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/idna"

	"github.com/evergate/evergate/auth"
)

// redirectsTo is the origin that a browser goes to which is given location on a page of
// base, or what keeps it from being one: "nowhere" with a word. It is the basic URL parser
// of the WHATWG URL standard, as far as an origin is concerned: blanks and control
// characters at both ends go, tabs and line breaks everywhere; a backslash is a slash;
// a scheme of base's own without two slashes behind it is relative; of every other special
// scheme any number of slashes stands before the host; what is before the last @ is no
// host; hosts are decoded, mapped (UTS 46) and in lower case.
//
// One thing is stricter: a host that browsers refuse, or read as an IPv4 address in one of
// its older spellings, is some other host all the same.
func redirectsTo(base, location string) string {
	at, err := url.Parse(base)
	if err != nil {
		return "nowhere: base"
	}
	s := strings.TrimFunc(location, func(r rune) bool { return r <= ' ' })
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s)
	rest := s
	scheme := at.Scheme
	if name, after, ok := cutScheme(s); ok {
		if !slices.Contains([]string{"http", "https", "ws", "wss", "ftp"}, name) {
			return "nowhere: " + name
		}
		slashed := strings.HasPrefix(after, "//")
		if rest = after; name != at.Scheme || slashed {
			return redirectsOrigin(name, strings.TrimLeft(rest, `/\`))
		}
	}
	if len(rest) > 1 && strings.ContainsRune(`/\`, rune(rest[0])) && strings.ContainsRune(`/\`, rune(rest[1])) {
		return redirectsOrigin(scheme, strings.TrimLeft(rest, `/\`))
	}
	return at.Scheme + "://" + at.Host
}

// cutScheme cuts off a scheme, in lower case.
func cutScheme(s string) (name, rest string, ok bool) {
	name, rest, ok = strings.Cut(s, ":")
	for i, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return "", s, false
		}
	}
	return strings.ToLower(name), rest, ok && name != ""
}

// redirectsOrigin is the origin of what follows the slashes.
func redirectsOrigin(scheme, s string) string {
	if end := strings.IndexAny(s, `/\?#`); end >= 0 {
		s = s[:end]
	}
	s = s[strings.LastIndexByte(s, '@')+1:]
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i:]
	}
	if plain, err := url.PathUnescape(host); err == nil {
		host = plain
	}
	if mapped, err := idna.New(idna.MapForLookup(), idna.Transitional(false)).ToASCII(host); err == nil {
		host = mapped
	}
	return scheme + "://" + strings.ToLower(host) + port
}

// TestRedirectsAreReadAsBrowsersDo holds redirectsTo to what browsers make of addresses.
func TestRedirectsAreReadAsBrowsersDo(t *testing.T) {
	const home = "https://gw.test:8443"
	for _, tt := range []struct{ location, want string }{
		{"/app?next=//evil.com", home},
		{"app", home},
		{"?x", home},
		{"https:app", home},
		{"https:/evil.com", home}, // relative, since the page has that scheme
		{"http:/evil.com", "http://evil.com"},
		{"https:///evil.com", "https://evil.com"},
		{"//evil.com", "https://evil.com"},
		{`/\evil.com`, "https://evil.com"},
		{`\/evil.com`, "https://evil.com"},
		{"/\t/evil.com", "https://evil.com"},
		{"\x00 //evil.com", "https://evil.com"},
		{"/%09/evil.com", home},
		{"/.//evil.com", home},
		{"HtTpS://EVIL.com/x", "https://evil.com"},
		{"https://gw.test:8443@evil.com", "https://evil.com"},
		{`https://gw.test\@evil.com`, "https://gw.test"},
		{"https://evil.com\\.gw.test", "https://evil.com"},
		{"https://evil。com", "https://evil.com"},
		{"https://ⓔvil.com", "https://evil.com"},
		{"https://%65vil.com", "https://evil.com"},
		{"https://gw.test:99999", "https://gw.test:99999"},
		{"java\nscript:alert(1)", "nowhere: javascript"},
		{"data:text/html,x", "nowhere: data"},
	} {
		if got := redirectsTo(home+"/.evergate/login", tt.location); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.location, got, tt.want)
		}
	}
}

// TestRedirectsOfAnySpelling puts return targets together of what parsers quarrel about. What
// the gateway would go back to is on the very origin, to a browser too.
func TestRedirectsOfAnySpelling(t *testing.T) {
	pieces := []string{"/", "/", "//", `\`, ".", "..", ";", "@", ":", "?", "#", "&", "=", "%", "%2f", "%5C", "%2e", "%09", "%0a", "%00", "%25", "2f", "\t", "\n", "\r", " ", "\x00", "\x7f",
		"http:", "https:", "HTTPS:", "javascript:", "data:", "evil.com", "gw.test", "gw.test:8443", "[::1]", "xn--", "。", "ⓔ", "\u00a0", "\ufeff", ".evergate", "a", "rd=", "\xff"}
	const home = "https://gw.test:8443"
	random, kept := rand.New(rand.NewPCG(3, 1)), 0
	for range 100_000 {
		rd := ""
		for range 1 + random.IntN(7) {
			rd += pieces[random.IntN(len(pieces))]
		}
		to := auth.ReturnTo(rd)
		if got := redirectsTo(home+"/.evergate/landed", to); got != home || to != "/" && to != rd {
			t.Errorf("%q: it leads to %s, by %q", rd, got, to)
		}
		if to == rd {
			kept++
		}
	}
	if kept < 1000 {
		t.Errorf("of all only %d were kept, which shows little", kept)
	}
}
