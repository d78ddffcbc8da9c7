package proxy

import (
	"strings"
	"testing"
)

// FuzzStripLine holds stripLine to what it means: the pieces between semicolons that are
// not one of the gateway's, as they came.
func FuzzStripLine(f *testing.F) {
	for _, line := range []string{"", ";", "own=1", "a=b; own=1", "own=1; a=b", "a=b; own=1; c=d", "a=b;own=1;own=2;c=d;", ";own=1;", "a;b;c", "own;own", "=own=1; a"} {
		f.Add(line)
	}
	own := func(name string) bool { return name == "own" }
	f.Fuzz(func(t *testing.T, line string) {
		var kept []string
		lost := false
		for piece := range strings.SplitSeq(line, ";") {
			if own(cookieName(piece)) {
				lost = true
			} else {
				kept = append(kept, piece)
			}
		}
		want := line
		if lost {
			want = strings.TrimLeft(strings.Join(kept, ";"), " \t")
		}
		if got := stripLine(line, own); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	})
}
