package main

import (
	"bytes"
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
