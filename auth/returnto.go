package auth

import (
	"strings"
)

// maxReturnTo bounds a return target. Longer ones are no addresses that a
// person opened.
const maxReturnTo = 4096

// ownFolder holds the gateway's own pages.
const ownFolder = "/.evergate"

// ReturnTo returns rd if it is a path on this very origin, with or without a
// query, and "/" otherwise. What it returns is fit for a Location header.
//
// Browsers, proxies and Go read odd addresses differently: a browser takes a
// backslash for a slash and drops tabs and line breaks, so that "/\evil.example"
// and "/<tab>/evil.example" lead away. Hence the check is blunt. It refuses
// every byte that is not printable ASCII, every backslash, and a path that after
// being decoded once or twice holds an empty segment, a dot segment, a segment
// that is only a parameter, a backslash or a control character. A path of the
// gateway's own is refused too: going back to the sign-in page after signing in
// would be a loop. The pages of the account alone are none. The query is data, and is
// not looked into.
func ReturnTo(rd string) string {
	if rd == own(accountPath) || rd == own(passwordPath) {
		return rd
	}
	if rd == "" || len(rd) > maxReturnTo || rd[0] != '/' {
		return "/"
	}
	for i := range len(rd) {
		if c := rd[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return "/"
		}
	}
	address, fragment, _ := strings.Cut(rd, "#")
	path, _, _ := strings.Cut(address, "?")
	if !validEscapes(path) || !validEscapes(fragment) {
		return "/"
	}
	for range 3 { // as written, decoded once, decoded twice
		if !plainPath(path) {
			return "/"
		}
		path = decodeLoosely(path)
	}
	return rd
}

// plainPath reports whether every reader takes path for the same place on this
// origin, outside of the gateway's own folder.
func plainPath(path string) bool {
	for i := range len(path) {
		if c := path[i]; c < ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	segments := strings.Split(path, "/") // the first is what stands before the leading slash: nothing
	for i, s := range segments[1:] {
		name, _, parameter := strings.Cut(s, ";")
		last := i == len(segments)-2
		if name == "." || name == ".." || name == "" && (parameter || !last) {
			return false
		}
	}
	own, _, _ := strings.Cut(segments[1], ";")
	return !strings.EqualFold("/"+own, ownFolder)
}

func validEscapes(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
			return false
		}
		i += 2
	}
	return true
}

// decodeLoosely decodes the escapes of s and leaves alone what is none: "100%25"
// is "100%" once decoded, and that has nothing left to decode.
func decodeLoosely(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
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
