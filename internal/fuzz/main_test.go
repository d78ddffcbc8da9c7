package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRun: every target of a module is found and run, one that fails is named, and one that is
// never tried does not pass for one that holds.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a module for fuzzing")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":         "module example.test/m\n\ngo 1.26\n",
		"a/a_test.go":    "package a\n\nimport \"testing\"\n\nfunc FuzzHolds(f *testing.F) { f.Fuzz(func(*testing.T, int) {}) }\n\nfunc FuzzFails(f *testing.F) { f.Fuzz(func(t *testing.T, _ int) { t.Error(\"it does not hold\") }) }\n",
		"b/c/b_test.go":  "package c_test\n\nimport \"testing\"\n\nfunc FuzzOutside(f *testing.F) { f.Fuzz(func(*testing.T, string) {}) }\n",
		"b/c/b.go":       "package c\n",
		"d/none_test.go": "package d\n\nimport \"testing\"\n\nfunc TestFuzzy(t *testing.T) {}\n",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	err := run(t.Context(), &out, dir, options{each: 300 * time.Millisecond, beside: 2, anew: true})
	if err == nil || !strings.Contains(err.Error(), "FuzzFails in example.test/m/a") || strings.Contains(err.Error(), "FuzzHolds") || strings.Contains(err.Error(), "FuzzOutside") {
		t.Errorf("got %v, want that FuzzFails fails and nothing else", err)
	}
	for _, want := range []string{"example.test/m/a FuzzHolds\n", "example.test/m/b/c FuzzOutside\n", "it does not hold", "executions of 3 targets in 2 packages\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it says\n%s\nwant %q", &out, want)
		}
	}
	if strings.Contains(out.String(), "        0 executions  example.test/m/a FuzzHolds") {
		t.Errorf("it says\n%s\nwant FuzzHolds tried", &out)
	}
	if err := run(t.Context(), &out, dir, options{each: time.Nanosecond, only: "FuzzHolds"}); err == nil || !strings.Contains(err.Error(), "not tried at all") {
		t.Errorf("one that has no time: got %v, want it said", err)
	}
	if err := run(t.Context(), &out, dir, options{each: time.Second, only: "FuzzNobody"}); err == nil {
		t.Error("no target: got nil, want it said")
	}
}

func TestTimeIsUp(t *testing.T) {
	const before = "fuzz: elapsed: 5s, execs: 12495 (3310/sec), new interesting: 11 (total: 100)\n--- FAIL: FuzzChunks (5.09s)\n"
	for said, want := range map[string]bool{
		before + "    context deadline exceeded\nFAIL\n":                                                          true,
		before + "    --- FAIL: FuzzChunks (0.00s)\n        a_test.go:9: context deadline exceeded\nFAIL\n":       false,
		before + "    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzChunks/1\nFAIL\n": false,
		"panic: no time\n": false,
		"":                 false,
	} {
		if got := timeIsUp(said); got != want {
			t.Errorf("%q: got %v, want %v", said, got, want)
		}
	}
	if n := executions(before); n != 12495 {
		t.Errorf("got %d executions, want 12495", n)
	}
}
