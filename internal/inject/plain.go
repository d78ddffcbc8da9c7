package inject

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxValue bounds a header value made of claims, in bytes.
const MaxValue = 8 << 10

// IsPlain reports whether a claim can be a header value as it is. Space at its
// ends could not: it is lost on the way, and " admin" would arrive as "admin". Some apps
// trim what else does not show.
func IsPlain(s string) bool {
	return len(s) <= MaxValue && (IsGraphic(s) || utf8.ValidString(s) && strings.TrimFunc(s, IsUnseen) == s && !strings.ContainsFunc(s, IsControl))
}

// IsUnseen is for spaces, and for what formats a text without a place in it, such as a space
// without width. Within a name some scripts need them.
func IsUnseen(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// IsGraphic reports whether s is visible ASCII alone, as most claims are.
func IsGraphic(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// IsControl also counts the line and paragraph separators of Unicode.
func IsControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
