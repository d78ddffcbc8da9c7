package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFewSessions runs all of it, small.
func TestFewSessions(t *testing.T) {
	var out, talk bytes.Buffer
	o := options{sizes: []int{20, 300}, dir: t.TempDir(), samples: 100, conns: 2, load: 200 * time.Millisecond}
	if err := run(t.Context(), o, &out, &talk); err != nil {
		t.Fatalf("%v\n%s", err, &talk)
	}
	for _, want := range []string{"| sessions | 20 | 300 |", "| sample, sessions | 20 | 100 |", "| request, p99 |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant it to hold %q", &out, want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var l latencies
	for i := range 100 {
		l = append(l, time.Duration(i+1))
	}
	if l.at(.5) != 51 || l.at(.99) != 100 || l.at(1) != 100 || latencies(nil).at(.5) != 0 {
		t.Errorf("got %d, %d, %d, %d", l.at(.5), l.at(.99), l.at(1), latencies(nil).at(.5))
	}
}

func TestTablesGoBetweenTheMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.md")
	begin, end := marks(sweepTable)
	if err := os.WriteFile(file, []byte("above\n"+begin+"old\n"+end+"below\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeBetween(file, sweepTable, "new\n"); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "above\n"+begin+"new\n"+end+"below\n" {
		t.Errorf("got %s", b)
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeBetween(file, sweepTable, "new\n"); err == nil || !strings.Contains(err.Error(), "no marks") {
		t.Errorf("without marks: got %v", err)
	}
	if got := count(1234567) + " " + count(12) + " " + count(123456); got != "1,234,567 12 123,456" {
		t.Errorf("got %s", got)
	}
}
