// Package agent puts a User-Agent header into words that people know their devices by:
// "Firefox on Windows".
//
// It knows the browsers and systems that people sign in with, and no more. Versions are
// left out: browsers have frozen most of them, and a session is older than the browser that
// it is in. A library would bring tables of bots, phones and consoles, of which none would
// show on a page. Whatever is said here is one of our own words; nothing of the header is
// ever part of it.
package agent

import "strings"

// Words are the browser and the system that a header names, each "" where it names none
// that is known here.
type Words struct{ Browser, System string }

// String is w in English: "Firefox on Linux", "Unknown browser on Linux", "Unknown browser".
func (w Words) String() string {
	browser := w.Browser
	if browser == "" {
		browser = "Unknown browser"
	}
	if w.System == "" {
		return browser
	}
	return browser + " on " + w.System
}

// MayBe reports whether one browser can have sent both headers. Versions do not count, and a
// header that names no browser says nothing: programs that fetch a film for a page are such.
// Phones that ask for a page as a desktop has it name another system, of the same kin.
func (w Words) MayBe(o Words) bool {
	switch {
	case w.Browser == "" || o.Browser == "":
		return true
	case w.Browser != o.Browser:
		return false
	}
	return w.System == "" || o.System == "" || kin(w.System) == kin(o.System)
}

// kin is the system that w's may pass itself off as.
func kin(system string) string {
	switch system {
	case "iPhone", "iPad":
		return "macOS"
	case "Android":
		return "Linux"
	}
	return system
}

// maxHeader is how much of a header is looked at.
const maxHeader = 512

// Of puts a header into words.
func Of(header string) Words {
	header = header[:min(len(header), maxHeader)]
	if strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' }) {
		return Words{} // no browser sends that
	}
	comment, products := split(header)
	return Words{Browser: browserOf(products), System: systemOf(comment)}
}

// split takes a header apart: the first comment, and its products by name (RFC 9110
// section 10.1.5). Other comments are left out; what stands in one is no product.
func split(header string) (comment string, products map[string]bool) {
	products = map[string]bool{}
	var plain strings.Builder
	depth, first := 0, ""
	for _, r := range header {
		switch {
		case r == '(':
			depth++
		case r == ')' && depth > 0:
			if depth--; depth == 0 && comment == "" {
				comment = first
			}
		case depth > 0 && comment == "":
			first += string(r)
		case depth == 0:
			plain.WriteRune(r)
		}
	}
	for _, p := range strings.Fields(plain.String()) {
		name, version, ok := strings.Cut(p, "/")
		if ok && name != "" && version != "" && version[0] >= '0' && version[0] <= '9' {
			products[name] = true
		}
	}
	return comment, products
}

// browsers are in the order in which they are looked for: most pretend to be Chrome, which
// pretends to be Safari.
var browsers = []struct{ product, name string }{
	{"Edg", "Edge"}, {"EdgA", "Edge"}, {"EdgiOS", "Edge"},
	{"OPR", "Opera"}, {"OPX", "Opera"}, {"OPT", "Opera"},
	{"Vivaldi", "Vivaldi"}, {"SamsungBrowser", "Samsung Internet"}, {"YaBrowser", "Yandex Browser"},
	{"DuckDuckGo", "DuckDuckGo"}, {"Ddg", "DuckDuckGo"},
	{"Firefox", "Firefox"}, {"FxiOS", "Firefox"},
	{"CriOS", "Chrome"}, {"HeadlessChrome", "Chrome"}, {"Chromium", "Chromium"}, {"Chrome", "Chrome"},
	{"curl", "curl"}, {"Wget", "Wget"},
}

func browserOf(products map[string]bool) string {
	for _, b := range browsers {
		if products[b.product] {
			return b.name
		}
	}
	if products["Safari"] && products["Version"] && products["AppleWebKit"] {
		return "Safari"
	}
	return ""
}

// systems are in the order in which they are looked for: a phone's comment names the
// system that its own is made of, too.
var systems = []struct{ mark, name string }{
	{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"},
	{"Windows", "Windows"}, {"Macintosh", "macOS"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"Linux", "Linux"},
}

// systemOf looks at the words that the parts of a comment begin with.
func systemOf(comment string) string {
	named := map[string]bool{}
	for part := range strings.SplitSeq(comment, ";") {
		first, _, _ := strings.Cut(strings.TrimSpace(part), " ")
		named[first] = true
	}
	for _, s := range systems {
		if named[s.mark] {
			return s.name
		}
	}
	return ""
}
