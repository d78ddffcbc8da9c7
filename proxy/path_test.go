package proxy_test

import (
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

const every = proxy.EncodedSlash | proxy.Semicolon | proxy.DoubleSlash

func TestClean(t *testing.T) {
	for _, tt := range []struct {
		name, target, want string // want "" is refused
	}{
		{"a plain path stays", "/a/b.c", "/a/b.c"},
		{"the root stays", "/", "/"},
		{"the query is not the path's (P-22)", "/admin/x?/public/../%zz;", "/admin/x"},
		{"P-16 unreserved escapes are decoded", "/%61dmin/%7Euser", "/admin/~user"},
		{"hex is upper case", "/%c3%a9", "/%C3%A9"},
		{"raw UTF-8 is escaped", "/é", "/%C3%A9"},
		{"what Go escapes is escaped", "/a|b^c\"<>{}`", "/a%7Cb%5Ec%22%3C%3E%7B%7D%60"},
		{"delimiters stay as they came", "/a!$&'()*+,=:@[]%21", "/a!$&'()*+,=:@[]%21"},
		{"an escaped space is data", "/a%20b", "/a%20b"},
		{"an escaped percent is data", "/100%25", "/100%25"},
		{"an escaped percent before one digit is data", "/%252", "/%252"},
		{"a harmless double escape is data", "/%2541", "/%2541"},
		{"P-21 an escaped fragment is data", "/admin/%23/public/", "/admin/%23/public/"},
		{"P-27 a trailing dot is data", "/admin.", "/admin."},
		{"P-27 an NTFS stream is data", "/admin::$DATA", "/admin::$DATA"},
		{"three dots are a name", "/.../x", "/.../x"},
		{"a dot file is a name", "/.well-known/x", "/.well-known/x"},
		{"P-37 another case is another path", "/.EVERGATE/x", "/.EVERGATE/x"},

		{"P-01 dot segments", "/public/../admin/", ""},
		{"a single dot", "/public/./admin/", ""},
		{"dots at the end", "/public/..", ""},
		{"P-03 encoded dots and slash", "/public/%2e%2e%2fadmin/", ""},
		{"encoded dots", "/public/%2e%2E/admin/", ""},
		{"half encoded dots", "/public/.%2e/admin/", ""},
		{"P-04 dots and encoded slash", "/public/..%2fadmin/", ""},
		{"P-05 doubly encoded dots", "/public/%252e%252e/admin/", ""},
		{"doubly encoded slash", "/public%252fadmin", ""},
		{"doubly encoded NUL", "/a%2500", ""},
		{"triply encoded dots", "/public/%25252e%25252e/admin/", ""},
		{"escapes without end", "/%" + strings.Repeat("25", 100) + "2e", ""},
		{"P-06 dots with parameters", "/public/..;/admin/", ""},
		{"dots with encoded parameters", "/public/..%3b/admin/", ""},
		{"P-07 parameters before dots", "/public;/../admin/", ""},
		{"P-08 a dot with parameters", "/public/.;/../admin/", ""},
		{"parameters", "/public;a=b/x", ""},
		{"P-09 two slashes in front", "//admin/", ""},
		{"P-10 dot and two slashes", "/.//admin/", ""},
		{"P-11 three slashes", "///admin/", ""},
		{"P-13 empty segment before dots", "/public//../admin/", ""},
		{"an empty segment", "/public//admin/", ""},
		{"P-14 encoded slash in front", "/%2fadmin/", ""},
		{"P-18 backslashes", `/public\..\admin\`, ""},
		{"encoded backslash", "/public%5cadmin", ""},
		{"P-20 a raw fragment", "/admin/#/public/", ""},
		{"a raw fragment in the query", "/admin/?a#b", ""},
		{"P-23 NUL", "/admin%00/public/", ""},
		{"P-23 line feed", "/admin%0a", ""},
		{"P-23 tab", "/admin%09", ""},
		{"DEL", "/admin%7f", ""},
		{"a C1 control character", "/admin%c2%85", ""},
		{"P-24 overlong UTF-8", "/public/%c0%ae%c0%ae/admin/", ""},
		{"a lone byte", "/%e9", ""},
		{"P-25 an escape of IIS", "/%u002e%u002e", ""},
		{"P-26 full-width dots", "/public/．．/admin/", ""},
		{"a two-dot leader", "/public/%E2%80%A5/admin/", ""},
		{"P-28 a lone percent", "/100%", ""},
		{"P-28 no hex", "/%zz", ""},
		{"a space", "/a b", ""},
		{"a space in the query", "/a?b c", ""},
		{"a control character", "/a\x01", ""},
		{"the asterisk form", "*", ""},
		{"the absolute form", "http://gw.test/a", ""},
		{"the authority form", "gw.test:443", ""},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := proxy.Clean(tt.target, 0)
			if err != nil && err.Status != http.StatusBadRequest {
				t.Errorf("got status %d, want 400", err.Status)
			}
			if refused := err != nil; refused != (tt.want == "") {
				t.Fatalf("got %q, %v, want %q", got.Path, err, tt.want)
			}
			if err == nil && got.Path != tt.want {
				t.Errorf("got %q, want %q", got.Path, tt.want)
			}
		})
	}
}

func TestCleanKeepsTheQueryByteForByte(t *testing.T) {
	for _, target := range []string{"/a", "/a?", "/a?x=1;y=2&z=%zz", "/a??", "/a?%2e%2e/\"é|"} {
		got, err := proxy.Clean(target, 0)
		if err != nil {
			t.Fatalf("%q: %v", target, err)
		}
		if got.URI() != target {
			t.Errorf("got %q, want %q", got.URI(), target)
		}
	}
}

func TestCleanAllows(t *testing.T) {
	for _, tt := range []struct {
		name, target string
		allow        proxy.PathChars
		ok           bool
	}{
		{"an encoded slash where allowed", "/a%2fb", proxy.EncodedSlash, true},
		{"an encoded slash where a semicolon is allowed", "/a%2fb", proxy.Semicolon, false},
		{"a doubly encoded slash where allowed (Jenkins)", "/job/feature%252Fx", proxy.EncodedSlash, true},
		{"a parameter where allowed", "/a;b=c/d", proxy.Semicolon, true},
		{"an empty segment where allowed", "/a//b", proxy.DoubleSlash, true},
		{"two slashes in front, never", "//a", every, false},
		{"dots and an encoded slash, never", "/public/..%2fadmin/", every, false},
		{"dots with parameters, never", "/public/..;a/admin/", every, false},
		{"dots after a parameter's slash, never", "/public;a%2f..%2fadmin/", every, false},
		{"doubly encoded dots, never", "/public/%252e%252e%252fadmin/", every, false},
		{"a backslash, never", "/public%5c", every, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := proxy.Clean(tt.target, tt.allow)
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// TestLongPathsAreRefused: by their length, or by what they are made of, for no more than
// a few looks at them: what is set aside grows with the path, and no faster.
func TestLongPathsAreRefused(t *testing.T) { // P-36
	for name, tt := range map[string]struct {
		target string
		status int
	}{
		"64 kB":             {"/" + strings.Repeat("a", 64<<10), http.StatusRequestURITooLong},
		"20000 dots":        {"/" + strings.Repeat("../", 20000), http.StatusRequestURITooLong},
		"8 KiB of dots":     {"/" + strings.Repeat("../", 2700), http.StatusBadRequest},
		"8 KiB of escapes":  {"/%" + strings.Repeat("25", 4000) + "41", http.StatusBadRequest},
		"8 KiB of oddities": {"/a" + strings.Repeat("%252f;/", 1000) + "%252e%252e", http.StatusBadRequest},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := proxy.Clean(tt.target, every)
		runtime.ReadMemStats(&after)
		if err == nil || err.Status != tt.status {
			t.Errorf("%s: got %v, want %d", name, err, tt.status)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 64*8<<10 {
			t.Errorf("%s: it took %d bytes, want 64 times a path at most", name, taken)
		}
	}
	if _, err := proxy.Clean("/"+strings.Repeat("a", proxy.MaxPath-1)+"?"+strings.Repeat("b", 30<<10), 0); err != nil {
		t.Errorf("a path of MaxPath with a long query: got %v, want ok", err)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"/", "/a/%2e%2e/b", "/%252e", "/a;b//c%2fd?x", "/é|", "/a%3b%23%3F", "http://h/", "/．．/", "/.", "/a/.b?", "/a..b/?q=%2e#", "/a/b.c?x=1", "//a", "/a?b c"} {
		f.Add(s, byte(every))
	}
	f.Fuzz(func(t *testing.T, target string, allow byte) {
		got, err := proxy.Clean(target, proxy.PathChars(allow))
		if all, why := proxy.CleanAny(target, proxy.PathChars(allow)); !reflect.DeepEqual(all, got) || !reflect.DeepEqual(why, err) {
			t.Fatalf("Clean(%q) = %+v, %v without its short way, %+v, %v with it", target, all, why, got, err)
		}
		if err != nil {
			return
		}
		again, err := proxy.Clean(got.URI(), proxy.PathChars(allow))
		if err != nil || again.Path != got.Path || again.RawQuery != got.RawQuery {
			t.Fatalf("Clean(%q) = %q; again: got %q, %v", target, got.URI(), again.URI(), err)
		}
		plain := got.Path
		for range 8 { // nobody who decodes, however often, finds a dot segment
			for segment := range strings.SplitSeq(plain, "/") {
				if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
					t.Fatalf("Clean(%q) lets %q through", target, plain)
				}
			}
			if strings.ContainsAny(plain, "\\\x00\r\n") {
				t.Fatalf("Clean(%q) lets %q through", target, plain)
			}
			next, err := url.PathUnescape(plain)
			if err != nil || next == plain {
				break
			}
			plain = next
		}
		u := &url.URL{Scheme: "http", Host: "up"}
		proxy.SetURL(&got, u, "")
		if u.RequestURI() != got.URI() {
			t.Fatalf("Clean(%q): matched %q, on the wire %q", target, got.URI(), u.RequestURI())
		}
	})
}
