package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// TestBadFiles parses each file of testdata/bad, one story each. Beside it stands, word for
// word, what an operator is shown: all faults at once, each with its line and column, the
// line itself, and what to do. The "# want:" lines at the head of a file are what matters
// of that, written by hand: a golden file that was written anew cannot lose it.
//
// Golden files are written anew by: go test ./config -run TestBadFiles -update
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("got %d bad files, %v, want 60", len(files), err)
	}
	golden := map[string]bool{}
	for _, file := range files {
		beside := strings.TrimSuffix(file, ".yaml") + ".txt"
		golden[beside] = true
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = config.Parse(filepath.Base(file), data, noEnv)
			faults, ok := errors.AsType[config.Faults](err)
			if !ok {
				t.Fatalf("got %v, want faults", err)
			}
			wants := 0
			for line := range strings.Lines(string(data)) {
				want, ok := strings.CutPrefix(strings.TrimSpace(line), "# want: ")
				if !ok {
					break
				}
				wants++
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%v\nwant in it\n%s", err, want)
				}
			}
			if wants == 0 {
				t.Error("the file says nothing of what is wanted")
			}
			for _, f := range faults {
				if f.Line < 1 || f.Column < 1 {
					t.Errorf("a fault without a place: %v", f)
				}
			}
			var drawn strings.Builder
			faults.Draw(&drawn, false)
			if config.Update() {
				if err := os.WriteFile(beside, []byte(drawn.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(beside)
			if err != nil {
				t.Fatalf("%v; read what is drawn, and keep it with: go test ./config -run TestBadFiles -update\n%s", err, &drawn)
			}
			if drawn.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", &drawn, want)
			}
		})
	}
	left, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		if !golden[file] {
			t.Errorf("%s belongs to no file", file)
		}
	}
}
