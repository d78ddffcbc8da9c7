package session

import (
	"net/http"
	"slices"
	"testing"
)

// FuzzCookiesOf: where cookiesOf finds a value, net/http finds that one cookie too, and no
// other of its name.
func FuzzCookiesOf(f *testing.F) {
	for _, line := range []string{
		"evergate=abc", "theme=dark; evergate=abc; x=y", "evergate = abc ", "evergate=abc;evergate=def", "evergate=abc; evergate",
		"evergateevergate=abc", "xevergate=abc", "x=evergate; evergate=abc", "evergate-probe=abc; evergate=def", `evergate="abc"`,
		"evergate", "evergate=", ";;evergate=abc;;", "a b;evergate=abc", "=evergate=abc", "evergate-probe; evergate = a ;evergate-probe =b", "evergate=a=b", "EVERGATE=abc",
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
		value, probe := cookiesOf(r, "evergate", "evergate-probe")
		if !probe && len(r.CookiesNamed("evergate-probe")) > 0 {
			t.Errorf("%q %q: the other one is not seen", first, second)
		}
		if value == "" {
			return
		}
		all := r.CookiesNamed("evergate")
		if len(all) > 1 || len(all) == 1 && !all[0].Quoted && all[0].Value != value {
			t.Errorf("%q %q: got %q, net/http finds %v", first, second, value, all)
		}
	})
}

// TestSoleCookieIsFound, in what browsers send.
func TestSoleCookieIsFound(t *testing.T) {
	for _, line := range []string{"evergate=abc", "theme=dark; evergate=abc", "evergate=abc; theme=dark", "evergate-probe=x; evergate=abc", "a=evergate; evergate=abc"} {
		if got, _ := cookiesOf(&http.Request{Header: http.Header{"Cookie": {line}}}, "evergate", "x"); got != "abc" {
			t.Errorf("%q: got %q, want abc", line, got)
		}
	}
}

// FuzzChunkValues: where the chunks of a set are found, net/http finds none but those.
func FuzzChunkValues(f *testing.F) {
	for _, line := range []string{
		"evergate=a", "evergate=a; evergate-1=b", "evergate-1=b; x=y; evergate=a", "evergate=a; evergate-2=c", "evergate=a; evergate=b",
		"evergate=a; evergate-1=b; evergate-1", "evergate-1=b", "evergate=a; evergate-1=", "evergate=a; evergate-9=b", "evergate=a; x=evergate-1",
		"evergate=a; evergate-10=b; evergate-1 = c", `evergate="a"; evergate-1=b`,
	} {
		f.Add(line, "")
	}
	f.Add("evergate=a", "evergate-1=b")
	s := &Stateless{names: chunkNames("evergate")}
	f.Fuzz(func(t *testing.T, first, second string) {
		for i := range len(first + second) {
			if c := (first + second)[i]; c < ' ' && c != '\t' || c == 0x7f {
				t.Skip("no header holds it")
			}
		}
		r := &http.Request{Header: http.Header{"Cookie": {first, second}}}
		values := s.chunkValues(r)
		if values == nil {
			return
		}
		for _, c := range r.Cookies() {
			i := slices.Index(s.names[:], c.Name)
			if i >= 0 && (i >= len(values) || !c.Quoted && values[i] != c.Value) {
				t.Errorf("%q %q: got %q, net/http finds %v", first, second, values, c)
			}
		}
	})
}

func TestChunkValuesAreFound(t *testing.T) {
	s := &Stateless{names: chunkNames("evergate")}
	for _, c := range []struct {
		line string
		want []string
	}{
		{"evergate=a", []string{"a"}}, {"x=y; evergate=a; evergate-1=b; z=evergate", []string{"a", "b"}}, {"evergate-2=c; evergate-1=b; evergate=a", []string{"a", "b", "c"}},
		{"evergate=a; evergate-2=c", nil}, {"evergate-1=b", nil}, {"evergate=a; evergate-1=b; evergate=a", nil}, {"evergate=a; evergate-1", nil}, {"x=y", nil},
		{"evergate=a; evergate-probe=b", []string{"a"}},
	} {
		if got := s.chunkValues(&http.Request{Header: http.Header{"Cookie": {c.line}}}); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
}
