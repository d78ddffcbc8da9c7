package snippet

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPathsMeanTheSameEverywhere: Traefik's rules see a path half decoded, and Envoy's as
// it was sent. Each has to lead where the decoded path leads.
func TestPathsMeanTheSameEverywhere(t *testing.T) {
	patterns := []string{"/", "/admin/", "/admin", "/a%20b/", "/caf%C3%A9/", "/café/", "/@me/", "/a+b", "/x,y;z=1/", "/100%25/", "/*/edit", "/a*b/", "/o'neil/", "/(1)/", "/v1.0/", "/~me/", "/a:b/*/", "/!$&'()*+,;=:@"}
	var paths []string
	for _, p := range []string{"/", "/admin", "/admin/", "/admin/x", "/adminx", "/a b/", "/a b/c", "/café/", "/café/é", "/@me/", "/@me", "/a+b", "/x,y;z=1/", "/100%/", "/7/edit", "/7/8/edit",
		"//edit", "/a*b/", "/aab/", "/o'neil/x", "/(1)/", "/v1.0/", "/v1x0/", "/~me/", "/a:b/c/", "/a:b//", "/!$&'()*+,;=:@", "/ADMIN/", "/[x]/"} {
		escaped := (&url.URL{Path: p}).EscapedPath()
		paths = append(paths, escaped, everyByteEscaped(p, nil), everyByteEscaped(p, isUnreserved), strings.ToLower(everyByteEscaped(p, isUnreserved)))
	}
	for _, pattern := range patterns {
		p := Path{Pattern: pattern}
		decoded := regexp.MustCompile(p.Regexp())
		traefik := regexp.MustCompile(p.traefik())
		q, err := envoyRegexp(p)
		if err != nil {
			t.Fatalf("Envoy's expression for %q: %v", pattern, err)
		}
		plain, err := strconv.Unquote(q)
		if err != nil {
			t.Fatalf("%s is no string: %v", q, err)
		}
		envoy := regexp.MustCompile(`^(?:` + plain + `)$`)
		unclear := regexp.MustCompile(`^(?:` + unclearRegexp + `)$`)
		for _, path := range paths {
			plain, err := url.PathUnescape(path)
			if err != nil {
				t.Fatal(err)
			}
			want := decoded.MatchString(plain)
			if got := traefik.MatchString(asTraefik(t, path)); got != want {
				t.Errorf("Traefik: pattern %q, path %q: matches is %v, want %v (%s)", pattern, path, got, want, p.traefik())
			}
			if escapesUnreserved := path != recoded(path); unclear.MatchString(path) != escapesUnreserved {
				t.Errorf("Envoy: path %q: unclear is %v, want %v", path, !escapesUnreserved, escapesUnreserved)
			} else if escapesUnreserved {
				continue // answered 400
			}
			if got := envoy.MatchString(path); got != want {
				t.Errorf("Envoy: pattern %q, path %q: matches is %v, want %v (%s)", pattern, path, got, want, plain)
			}
		}
	}
}

// everyByteEscaped escapes each byte but slashes and those of keep.
func everyByteEscaped(p string, keep func(byte) bool) string {
	var b strings.Builder
	for i := range len(p) {
		if c := p[i]; c == '/' || keep != nil && keep(c) {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16))[1:])
		}
	}
	return b.String()
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// recoded is a path without escapes of unreserved bytes.
func recoded(path string) string {
	return regexp.MustCompile(`%[0-9A-Fa-f]{2}`).ReplaceAllStringFunc(path, func(s string) string {
		if c, _ := url.PathUnescape(s); isUnreserved(c[0]) {
			return c
		}
		return s
	})
}

// asTraefik is a path as the rules of Traefik see it: escapes of unreserved bytes decoded
// and the others in upper case (its entry point), then all decoded but reserved bytes.
func asTraefik(t *testing.T, path string) string {
	t.Helper()
	return regexp.MustCompile(`%[0-9A-Fa-f]{2}`).ReplaceAllStringFunc(recoded(path), func(s string) string {
		c, err := url.PathUnescape(s)
		if err != nil {
			t.Fatal(err)
		}
		if c == "%" || strings.Contains(reserved, c) {
			return strings.ToUpper(s)
		}
		return c
	})
}
