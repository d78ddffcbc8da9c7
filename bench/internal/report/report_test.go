package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRounds(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds Rounds
		want   string
	}{
		{"odd", Rounds{5, 1, 3}, "3.0 (1.0–5.0)"},
		{"even", Rounds{4, 1, 2, 8}, "3.0 (1.0–8.0)"},
		{"one", Rounds{7}, "7.0 (7.0–7.0)"},
		{"none", nil, "0.0 (0.0–0.0)"},
	} {
		if got := c.rounds.Format("%.1f"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	// A machine that was twice as slow in one round was so for both.
	if got := (Rounds{11, 22, 12}).Over(Rounds{10, 20, 10}); got.Median() != 1.1 || got.Max() != 1.2 {
		t.Errorf("ratios round by round: got %v, want 1.1, 1.1 and 1.2", got)
	}
	if r := (Rounds{3, 1, 2}); r.Median() != 2 || r[0] != 3 {
		t.Errorf("the median put the rounds into another order: %v", r)
	}
}

func TestLatencies(t *testing.T) {
	var l Latencies
	for i := range 100 {
		l = append(l, time.Duration(i+1))
	}
	if l.At(.5) != 51 || l.At(.99) != 100 || l.At(1) != 100 || Latencies(nil).At(.5) != 0 {
		t.Errorf("got %d, %d, %d, %d", l.At(.5), l.At(.99), l.At(1), Latencies(nil).At(.5))
	}
}

func TestBetween(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.md")
	begin, end := "<!-- bench x: begin -->\n", "<!-- bench x: end -->\n"
	if err := os.WriteFile(file, []byte("above\n"+begin+"old\n"+end+"below\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"new", "new\n"} {
		if err := Between(file, "bench x", text); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "above\n"+begin+"new\n"+end+"below\n" {
			t.Errorf("got %s, %v", b, err)
		}
	}
	if err := Between(file, "bench y", "new"); err == nil || !strings.Contains(err.Error(), "no marks") {
		t.Errorf("without marks: got %v", err)
	}
	if err := Between(file, "bench x", ""); err == nil {
		t.Error("a table was replaced by nothing")
	}
	if got := Count(1234567) + " " + Count(12) + " " + Count(123456); got != "1,234,567 12 123,456" {
		t.Errorf("got %s", got)
	}
	if got := Size(3<<19) + " " + Milli(1500*time.Microsecond); got != "1.5 MiB 1.50 ms" {
		t.Errorf("got %s", got)
	}
}
