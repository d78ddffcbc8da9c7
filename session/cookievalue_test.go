package session

import (
	"net/http"
	"testing"
)

// FuzzSoleCookie: where soleCookie finds a value, net/http finds that one cookie too, and no
// other of its name.
func FuzzSoleCookie(f *testing.F) {
	for _, line := range []string{
		"evergate=abc", "theme=dark; evergate=abc; x=y", "evergate = abc ", "evergate=abc;evergate=def", "evergate=abc; evergate",
		"evergateevergate=abc", "xevergate=abc", "x=evergate; evergate=abc", "evergate-probe=abc; evergate=def", `evergate="abc"`,
		"evergate", "evergate=", ";;evergate=abc;;", "a b;evergate=abc", "=evergate=abc", "evergate=a=b", "EVERGATE=abc",
	} {
		f.Add(line, "")
	}
	f.Add("evergate=abc", "evergate=abc")
	f.Fuzz(func(t *testing.T, first, second string) {
		for i := range len(first + second) {
			if c := (first + second)[i]; c < ' ' && c != '\t' || c == 0x7f {
				t.Skip("no header holds it")
			}
		}
		r := &http.Request{Header: http.Header{"Cookie": {first, second}}}
		value := soleCookie(r, "evergate")
		if value == "" {
			return
		}
		all := r.CookiesNamed("evergate")
		if len(all) > 1 || len(all) == 1 && !all[0].Quoted && all[0].Value != value {
			t.Errorf("%q %q: got %q, net/http finds %v", first, second, value, all)
		}
		if !names(r, "evergate") {
			t.Errorf("%q %q: it is not named", first, second)
		}
	})
}

// TestSoleCookieIsFound, in what browsers send.
func TestSoleCookieIsFound(t *testing.T) {
	for _, line := range []string{"evergate=abc", "theme=dark; evergate=abc", "evergate=abc; theme=dark", "evergate-probe=x; evergate=abc", "a=evergate; evergate=abc"} {
		if got := soleCookie(&http.Request{Header: http.Header{"Cookie": {line}}}, "evergate"); got != "abc" {
			t.Errorf("%q: got %q, want abc", line, got)
		}
	}
}
