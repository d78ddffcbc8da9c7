package session_test

import (
	"flag"
	"fmt"
	"html"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

var updateDrawing = flag.Bool("update", false, "write docs/renewal.svg and its table anew")

//go:generate go test -count=1 -run ^TestDrawing$ . -update

// A step is what may happen to the handles of one host's cookie: in which state, by which use, and
// what comes of it. The drawing and the table in docs/renewal.md are made of these, and each is
// tried with the code that serves.
type step struct {
	from, to string // settled, open or revoked
	short    string // in the picture
	when     string
	what     string
	try      func() (session.Family, session.Verdict)
}

var (
	begun   = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	timing  = session.Rules{Grace: time.Minute, Lifetime: 15 * time.Minute}
	firstC  = session.Child{1}
	secondC = session.Child{2}
	thirdC  = session.Child{3}
)

// isOpen is the family a while after the first child was spent on a rotation.
func isOpen(minted int) (session.Family, time.Time) {
	now := begun.Add(20 * time.Minute)
	f, _, _ := session.NewFamily(firstC, begun).Present(session.Use{Generation: 1, Child: firstC}, now, timing)
	for range minted {
		f, _, _ = f.Deliver(session.Use{Generation: 1, Child: firstC}, now, timing)
		now = now.Add(20 * time.Second)
	}
	return f, now
}

// isSettledAgain is the family once the second child has won.
func isSettledAgain() (session.Family, time.Time) {
	f, now := isOpen(1)
	use := session.Use{Generation: 2, Child: secondC, Safe: true}
	f, _, _ = f.Present(use, now, timing)
	now = now.Add(2 * time.Minute)
	f, _, _ = f.Present(use, now, timing)
	return f, now
}

func present(f session.Family, u session.Use, now time.Time) (session.Family, session.Verdict) {
	next, _, v := f.Present(u, now, timing)
	return next, v
}

var steps = []step{
	{"", "settled", "somebody signs in", "somebody signs in", "the first handle counts as settled", func() (session.Family, session.Verdict) {
		return session.NewFamily(firstC, begun), session.Serve
	}},
	{"settled", "settled", "the settled handle", "the settled handle comes", "it is served; nothing is written, nothing handed out", func() (session.Family, session.Verdict) {
		return present(session.NewFamily(firstC, begun), session.Use{Generation: 1, Child: firstC}, begun.Add(time.Minute))
	}},
	{"settled", "open", "0.8 of the token's life later", "it comes after 0.8 of the token's life, and 2 S", "the next generation begins; it is the parent now", func() (session.Family, session.Verdict) {
		return present(session.NewFamily(firstC, begun), session.Use{Generation: 1, Child: firstC}, begun.Add(20*time.Minute))
	}},
	{"open", "open", "the parent gets a child", "the parent comes", "it is served, and its answer carries a child of its own", func() (session.Family, session.Verdict) {
		f, now := isOpen(0)
		next, _, ok := f.Deliver(session.Use{Generation: 1, Child: firstC}, now, timing)
		if !ok {
			return next, session.Probe
		}
		return present(next, session.Use{Generation: 1, Child: firstC}, now)
	}},
	{"open", "open", "a new child is noted", "a child comes for the first time", "it is served, and noted", func() (session.Family, session.Verdict) {
		f, now := isOpen(1)
		return present(f, session.Use{Generation: 2, Child: secondC}, now)
	}},
	{"open", "settled", "a child in use for S settles", "a child is in use for more than S", "it has won; its siblings and the parent are spent", func() (session.Family, session.Verdict) {
		f, now := isOpen(1)
		use := session.Use{Generation: 2, Child: secondC, Safe: true}
		f, _ = present(f, use, now)
		return present(f, use, now.Add(2*time.Minute))
	}},
	{"open", "open", "with siblings: first 307", "the same, where siblings were handed out", "the browser is asked to come again first (307)", func() (session.Family, session.Verdict) {
		f, now := isOpen(2)
		use := session.Use{Generation: 2, Child: secondC, Safe: true}
		f, _ = present(f, use, now)
		return present(f, use, now.Add(5*time.Minute))
	}},
	{"settled", "settled", "a spent handle: 307", "a spent handle comes", "it is not served; the browser is asked to come again (307)", func() (session.Family, session.Verdict) {
		f, now := isSettledAgain()
		return present(f, session.Use{Generation: 2, Child: thirdC}, now)
	}},
	{"settled", "revoked", "it comes again, with the question", "it comes again, with the question that it was asked", "the jar really holds it: the session ends everywhere", func() (session.Family, session.Verdict) {
		f, now := isSettledAgain()
		return present(f, session.Use{Generation: 2, Child: thirdC, Probed: true}, now)
	}},
}

func stateOf(f session.Family, v session.Verdict) string {
	switch {
	case v == session.Reuse:
		return "revoked"
	case f.Settled != session.Child{}:
		return "settled"
	}
	return "open"
}

// TestDrawing: what docs/renewal.md draws and lists is what the code does.
func TestDrawing(t *testing.T) {
	verdicts := map[session.Verdict]bool{}
	var table strings.Builder
	table.WriteString("| | in state | when | then | state |\n|---|---|---|---|---|\n")
	for i, s := range steps {
		f, v := s.try()
		verdicts[v] = true
		if got := stateOf(f, v); got != s.to {
			t.Errorf("%s: %s: got %s (%s), want %s", s.from, s.when, got, v, s.to)
		}
		if probed := strings.Contains(s.what, "307"); probed != (v == session.Probe) {
			t.Errorf("%s: got the verdict %s, and the page says %q", s.when, v, s.what)
		}
		from := s.from
		if from == "" {
			from = "(none)"
		}
		fmt.Fprintf(&table, "| %d | %s | %s | %s | %s |\n", i+1, from, s.when, s.what, s.to)
	}
	for _, v := range []session.Verdict{session.Serve, session.Probe, session.Reuse} {
		if !verdicts[v] {
			t.Errorf("no step ends in %s", v)
		}
	}
	const page, picture = "../docs/renewal.md", "../docs/renewal.svg"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- steps: made by a test, go generate ./session -->\n", "<!-- end of steps -->"
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the steps", page)
	}
	want := map[string]string{page: before + begin + table.String() + end + after, picture: drawn()}
	for file, text := range want {
		if *updateDrawing {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%s is not what the code says (%v); try: go generate ./session", file, err)
		}
	}
}

// drawn is the picture: three states, and the steps between them by their numbers.
func drawn() string {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 470" font-family="system-ui, sans-serif" font-size="14" role="img" aria-labelledby="t d">
<title id="t">The handles of one host's cookie: settled, open, revoked</title>
<desc id="d">`)
	for i, s := range steps {
		fmt.Fprintf(&b, "%d: %s → %s, when %s. ", i+1, html.EscapeString(s.from), s.to, html.EscapeString(s.when))
	}
	b.WriteString(`</desc>
<style>
.paper { fill: #ffffff } text { fill: #1f2328 } .dim { fill: #59636e } .line { stroke: #59636e; stroke-width: 1.5; fill: none }
.box { fill: #f6f8fa; stroke: #59636e; stroke-width: 1.5 } .bad { stroke: #cf222e } .head { fill: #59636e } .name { font-weight: 600; font-size: 17px }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117 } text { fill: #f0f6fc } .dim, .head { fill: #9198a1 } .line { stroke: #9198a1 }
.box { fill: #151b23; stroke: #9198a1 } .bad { stroke: #f85149 } }
</style>
<defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path class="head" d="M0 0 L10 5 L0 10 z"/></marker></defs>
<rect class="paper" width="840" height="470" rx="8"/>
`)
	box := func(x, y int, class, name string, lines ...string) {
		fmt.Fprintf(&b, "<rect class=\"box%s\" x=\"%d\" y=\"%d\" width=\"220\" height=\"100\" rx=\"10\"/>\n<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", class, x, y, x+110, y+34, name)
		for i, line := range lines {
			fmt.Fprintf(&b, "<text class=\"dim\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x+110, y+58+20*i, line)
		}
	}
	arrow := func(d string) { fmt.Fprintf(&b, "<path class=\"line\" marker-end=\"url(#a)\" d=\"%s\"/>\n", d) }
	// label writes the steps of one arrow, each with its number.
	label := func(x, y int, anchor, from, to string) {
		for i, s := range steps {
			if s.from == from && s.to == to {
				fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">%d · %s</text>\n", x, y, anchor, i+1, html.EscapeString(s.short))
				y += 20
			}
		}
	}
	box(40, 150, "", "settled", "one handle counts", "writes nothing")
	box(580, 150, "", "open", "the parent counts,", "and every child of it")
	box(40, 350, " bad", "revoked", "on every host, at once,", "in open connections too")
	arrow("M225 50 V150")
	label(237, 70, "start", "", "settled")
	arrow("M260 180 H580")
	label(420, 168, "middle", "settled", "open")
	arrow("M580 220 H260")
	label(420, 242, "middle", "open", "settled")
	arrow("M80 150 C50 115 15 140 40 180")
	label(20, 96, "start", "settled", "settled")
	arrow("M760 150 C790 125 830 140 800 190")
	label(820, 84, "end", "open", "open")
	arrow("M150 250 V350")
	label(162, 305, "start", "settled", "revoked")
	b.WriteString("</svg>\n")
	return b.String()
}
