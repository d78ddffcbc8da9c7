package auth_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
)

// away are return targets that lead, or might lead, to another place.
var away = []struct{ name, rd string }{
	{"OR-01 another site", "https://evil.com"},
	{"OR-02 without scheme", "//evil.com"},
	{"OR-03 three slashes", "///evil.com"},
	{"OR-04 four slashes and dots", "////evil.com/%2e%2e"},
	{"OR-05 a backslash is a slash", `/\evil.com`},
	{"OR-06 two backslashes", `\\evil.com`},
	{"OR-07 backslash and slash", `\/evil.com`},
	{"OR-08 a tab is dropped", "/\t/evil.com"},
	{"OR-08 a line break is dropped", "/\n/evil.com"},
	{"OR-10 an escaped tab", "/%09/evil.com"},
	{"OR-12 escaped slashes", "/%2f%2fevil.com"},
	{"OR-12 escaped twice", "/%252f%252fevil.com"},
	{"OR-13 a dot, then a backslash", `/./\evil.com`},
	{"OR-14 dots, then two slashes", "/..//evil.com"},
	{"OR-15 a dot, then two slashes", "/.//evil.com"},
	{"OR-15 the dot escaped", "/%2e//evil.com"},
	{"OR-16 an empty parameter", "/;@evil.com"},
	{"OR-20 one slash after the scheme", "https:/evil.com"},
	{"OR-21 three slashes after the scheme", "https:///evil.com"},
	{"OR-22 backslashes after the scheme", `http:\\evil.com`},
	{"OR-23 the scheme in odd case", "HtTpS://evil.com"},
	{"OR-24 a leading space", " https://evil.com"},
	{"OR-24 a leading no-break space", "\u00a0//evil.com"},
	{"OR-24 a byte order mark", "\ufeff//evil.com"},
	{"OR-25 our host as user", "https://gw.test@evil.com"},
	{"OR-26 our host and port as user", "https://gw.test:443@evil.com"},
	{"OR-27 an escaped slash before the @", "https://gw.test%2f@evil.com"},
	{"OR-28 a backslash before the @", `https://gw.test\@evil.com`},
	{"OR-29 a backslash in the host", `https://evil.com\.gw.test`},
	{"OR-31 our host in the query", "https://evil.com?.gw.test"},
	{"OR-32 our host in the path", "https://evil.com/.gw.test"},
	{"OR-33 our host as a label", "https://gw.test.evil.com"},
	{"OR-34 our host as an ending", "https://evilgw.test"},
	{"OR-37 an ideographic dot", "https://gw。test"},
	{"OR-37 another", "https://evil。com"},
	{"OR-38 a circled letter", "https://ⓔvil.com"},
	{"OR-39 a mapped address", "https://[::ffff:6.6.6.6]"},
	{"OR-39 a hexadecimal address", "http://0x08080808"},
	{"OR-39 an octal address", "http://00330.072.0326.0316"},
	{"OR-40 a script", "javascript:alert(1)"},
	{"OR-41 a script with a line break", "JaVa\nScRiPt:"},
	{"OR-41 a script with escaped line breaks", "java%0d%0ascript:"},
	{"OR-42 data", "data:text/html,x"},
	{"OR-43 a port that is none", "https://gw.test:99999"},
	{"OR-43 another port", "https://gw.test:8443"},
	{"OR-47 8 kB", "/" + strings.Repeat("a", 8<<10)},
	{"OR-48 an IDN", "https://xn--gw-test"},
	{"OR-48 a trailing dot", "https://gw.test./"},
	{"our own absolute address is no path either", "https://gw.test/app"},
	{"nothing", ""},
	{"no leading slash", "app"},
	{"a query alone", "?x"},
	{"dot segments", "/a/../b"},
	{"escaped dot segments", "/a/%2e%2E/b"},
	{"dot segments escaped twice", "/a/%252e%252e/b"},
	{"dot segments with a parameter", "/a/..;x/b"},
	{"dots at the end", "/a/.."},
	{"an empty segment", "/a//b"},
	{"an escaped backslash", "/a/%5c%5cevil.com"},
	{"a NUL", "/a\x00b"},
	{"an escaped NUL", "/a%00b"},
	{"a header in the path", "/a%0d%0aSet-Cookie:%20x=1"},
	{"a header in the query, raw", "/a?b\r\nSet-Cookie: x=1"},
	{"a raw space", "/a b"},
	{"raw letters beyond ASCII", "/ä"},
	{"a lone %", "/a%"},
	{"an escape that is none", "/a%zz"},
	{"a half escape", "/a%4"},
	{"an escape that is none in the fragment", "/a#%"},
	{"the sign-in page", "/.evergate/login"},
	{"the sign-in page with a way back to itself", "/.evergate/login?rd=/.evergate/login"},
	{"the sign-out page", "/.evergate/logout"},
	{"our folder itself", "/.evergate"},
	{"our folder escaped", "/%2eevergate/logout"},
	{"our folder escaped twice", "/%252eevergate/logout"},
	{"our folder in odd case", "/.EverGate/logout"},
	{"our folder with a parameter", "/.evergate;x/logout"},
	{"the account with a query", "/.evergate/account?done=password"},
	{"the account with a fragment", "/.evergate/account#x"},
	{"the account escaped", "/.evergate/%61ccount"},
	{"the account in odd case", "/.evergate/Account"},
	{"below the account", "/.evergate/account/signout"},
}

func TestReturnToLeadsNowhereElse(t *testing.T) {
	for _, c := range away {
		t.Run(c.name, func(t *testing.T) {
			if got := auth.ReturnTo(c.rd); got != "/" {
				t.Errorf("ReturnTo(%q): got %q, want /", c.rd, got)
			}
		})
	}
}

func TestReturnToKeepsOurOwn(t *testing.T) {
	for _, c := range []struct{ name, rd string }{
		{"the start page", "/"},
		{"a path", "/reports"},
		{"a path with a slash at the end", "/reports/"},
		{"a path with a query", "/reports?q=1&r=a+b"},
		{"OR-46 an address in the query is data", "/app?next=//evil.com"},
		{"a whole address in the query", "/app?next=https://evil.com/%2e%2e/"},
		{"an empty query", "/app?"},
		{"a fragment", "/app#part//two"},
		{"escaped letters beyond ASCII", "/caf%C3%A9"},
		{"an escaped space", "/a%20b"},
		{"an escaped slash that parts two names", "/projects/group%2Fname"},
		{"a percent sign as data", "/100%25"},
		{"a percent sign as data, then digits", "/a%2541"},
		{"a parameter", "/a;v=1/b"},
		{"a user's page", "/@alice"},
		{"a colon", "/wiki/File:Logo.png"},
		{"dots that are no dot segment", "/.../a..b/.well-known"},
		{"a name that begins like ours", "/.evergateway"},
		{"the account", "/.evergate/account"},
		{"the account's password", "/.evergate/account/password"},
		{"4 kB", "/" + strings.Repeat("a", 4095)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := auth.ReturnTo(c.rd); got != c.rd {
				t.Errorf("ReturnTo(%q): got %q, want it unchanged", c.rd, got)
			}
		})
	}
}

// FuzzReturnTo resolves what ReturnTo lets through as a browser would (WHATWG
// URL: surrounding blanks and all tabs and line breaks dropped, a backslash read
// as a slash) and as Go does: the origin stays, and so does the text.
func FuzzReturnTo(f *testing.F) {
	for _, c := range away {
		f.Add(c.rd)
	}
	for _, rd := range []string{"/", "/a?b=c#d", "/%2541", "/a%2Fb", "/;a", "/a;b", "/?//x", "/#//x"} {
		f.Add(rd)
	}
	base, err := url.Parse("https://gw.test/.evergate/landed")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rd string) {
		got := auth.ReturnTo(rd)
		if got != "/" && got != rd {
			t.Fatalf("ReturnTo(%q): got %q, which is neither / nor what came", rd, got)
		}
		if again := auth.ReturnTo(got); again != got {
			t.Fatalf("ReturnTo(%q): got %q, and of that %q", rd, got, again)
		}
		seen := strings.TrimFunc(got, func(r rune) bool { return r <= ' ' })
		seen = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(seen)
		path, _, _ := strings.Cut(seen, "?")
		path, _, _ = strings.Cut(path, "#")
		path = strings.ReplaceAll(path, `\`, "/")
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
			t.Fatalf("ReturnTo(%q): got %q, which a browser reads as another host", rd, got)
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("ReturnTo(%q): got %q, which does not parse: %v", rd, got, err)
		}
		if to := base.ResolveReference(u); to.Scheme != "https" || to.Host != "gw.test" || to.User != nil {
			t.Fatalf("ReturnTo(%q): got %q, which leads to %s", rd, got, to)
		}
		if got == "/.evergate/account" || got == "/.evergate/account/password" {
			return // the only pages of ours to come back to
		}
		for lower, i := strings.ToLower(u.Path), 0; i < 2; i++ {
			if lower == "/.evergate" || strings.HasPrefix(lower, "/.evergate/") || strings.HasPrefix(lower, "//") {
				t.Fatalf("ReturnTo(%q): got %q, which decodes to %q", rd, got, lower)
			}
			if next, err := url.PathUnescape(lower); err == nil {
				lower = strings.ToLower(next)
			}
		}
	})
}
