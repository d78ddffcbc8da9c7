package curves

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// few is all of it, small.
var few = Options{
	Rounds: 1, Load: 200 * time.Millisecond, Samples: 100,
	Sessions: []int{20, 300}, Routes: []int{10, 100}, Replicas: []int{1, 2}, Connections: []int{4, 40}, Claims: []int{512, 4096},
	TTL: 20 * time.Second, Expired: 200, Quiet: 100 * time.Millisecond,
}

// TestFew measures everything with the real programs, and writes a page of it. The sweep
// has a test of its own.
func TestFew(t *testing.T) {
	rig.Need(t)
	t.Parallel()
	o := few
	o.Docs = t.TempDir()
	var text strings.Builder
	for _, name := range Names() {
		if name != "sweep" {
			o.Only = append(o.Only, name)
		}
		fmt.Fprintf(&text, "# %s\n<!-- %s: begin -->\n<!-- %s: end -->\n", name, mark(name), mark(name))
	}
	if err := os.WriteFile(page(o.Docs), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	app, err := r.Upstream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out, talk bytes.Buffer
	if err := Run(t.Context(), r, app, o, &out, &talk); err != nil {
		t.Fatalf("%v\n%s", err, &talk)
	}
	written, err := os.ReadFile(page(o.Docs))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| sessions | 20 | 300 |", "| sample, sessions | 20 | 100 |", "| the same after `kill -9` |",
		"| routes | 10 | 100 |", "| match alone |", "| replicas | 1 | 2 |", "| connections | 4 | 40 |", "| claims, bytes | 512 | 4,096 |",
	} {
		if !bytes.Contains(written, []byte(want)) || !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant it to hold %q", written, want)
		}
	}
	for _, name := range o.Only {
		wantPicture(t, picture(o.Docs, name))
	}
	renewals := regexp.MustCompile(`renewals for each session and expiry \| ([\d.]+) \| ([\d.]+) \|`).FindSubmatch(written)
	if renewals == nil || string(renewals[1]) != "1.00" || string(renewals[2]) != "1.00" {
		t.Errorf("got %q, want one renewal for each session, however many replicas", renewals)
	}
	if chunks := regexp.MustCompile(`cookies that it is cut into \| (\d) \| (\d) \|`).FindSubmatch(written); chunks == nil || chunks[1][0] >= chunks[2][0] {
		t.Errorf("got %q, want more cookies for more claims", chunks)
	}
}

func TestNoSuchCurve(t *testing.T) {
	err := Run(t.Context(), nil, nil, Options{Only: []string{"weather"}}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "weather") || !strings.Contains(err.Error(), "sessions") {
		t.Errorf("got %v, want it to name that one, and those there are", err)
	}
}

func TestSweep(t *testing.T) {
	rig.Need(t) // it takes a minute: that is how often a store sweeps
	t.Parallel()
	table, err := measureSweep(t.Context(), filepath.Join(t.TempDir(), "s.db"), 200, 100*time.Millisecond)
	if err != nil || !strings.Contains(table, "while nothing is swept") || !strings.Contains(table, "expired sessions are swept") {
		t.Errorf("got %s, %v", table, err)
	}
}

// TestDocsShowEachCurve holds the page to its pictures and tables.
func TestDocsShowEachCurve(t *testing.T) {
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	docs := filepath.Join(root, "docs")
	text, err := os.ReadFile(page(docs))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		begin, end := "<!-- "+mark(c.name)+": begin -->", "<!-- "+mark(c.name)+": end -->"
		_, rest, ok1 := strings.Cut(string(text), begin)
		table, _, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 || strings.Count(table, "\n") < 4 {
			t.Errorf("%s: the page has no table of it", c.name)
		}
		if c.name == "sweep" {
			continue
		}
		shown := regexp.MustCompile(`!\[[^\]]{20,}\]\(` + regexp.QuoteMeta(filepath.Base(picture(docs, c.name))) + `\)`)
		if !shown.Match(text) {
			t.Errorf("%s: the page does not show its picture with a text", c.name)
		}
		wantPicture(t, picture(docs, c.name))
	}
}

func wantPicture(t *testing.T, file string) {
	t.Helper()
	svg, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	if len(svg) > 20_000 {
		t.Errorf("%s has %d bytes, want 20,000 at most", file, len(svg))
	}
	var title, desc string
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "title":
			err = d.DecodeElement(&title, &e)
		case "desc":
			err = d.DecodeElement(&desc, &e)
		case "script", "foreignObject", "image", "a":
			t.Errorf("%s has an element %s", file, e.Name.Local)
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, a := range e.Attr {
			if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
				t.Errorf("%s has an attribute %s", file, a.Name.Local)
			}
		}
	}
	if title == "" || len(desc) < 40 || !bytes.Contains(svg, []byte("prefers-color-scheme:dark")) {
		t.Errorf("%s has the title %q and the text %q, want both, and colours for the dark", file, title, desc)
	}
}

func TestLine(t *testing.T) {
	s := line("p50", []int{10, 100}, func(i int) report.Rounds { return report.Rounds{float64(i + 1), float64(i + 3), float64(i + 2)} })
	if len(s.Points) != 2 || s.Points[1].X != 100 || s.Points[1].Y != 3 || s.Points[1].Low != 2 || s.Points[1].High != 4 {
		t.Errorf("got %+v, want medians and their spread", s)
	}
	if got := perSession(-5, 10) + ", " + perSession(2048, 100) + ", " + perSession(7, 0); got != "0.0 B, 20.5 B, –" {
		t.Errorf("got %s", got)
	}
}
