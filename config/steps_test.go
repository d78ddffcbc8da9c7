package config_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestWorkGrowsWithTheFile counts how often each statement is run for files of adversaries, in
// the config, in YAML and in what they search with: four times as large a file takes about
// four times as many, and not sixteen. A count is the same on any machine, however busy.
func TestWorkGrowsWithTheFile(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the package anew")
	}
	if os.Getenv("EVERGATE_ADVERSARY") != "" {
		t.Skip("it is counted")
	}
	if raced {
		t.Skip("it counts steps of one goroutine: make measured does it without the race detector")
	}
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "counted.test")
	const counted = "github.com/evergate/evergate/config,github.com/evergate/evergate/internal/...,gopkg.in/yaml.v3,slices,maps,regexp,regexp/syntax,net/url"
	build := exec.Command("go", "test", "-c", "-covermode=count", "-coverpkg="+counted, "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Run("as large as can be", func(t *testing.T) {
		cmd := exec.Command(binary, "-test.v", "-test.run", "^TestAdversaries$")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if got := strings.Count(string(out), "--- PASS: TestAdversaries/"); got != len(adversaries) {
			t.Errorf("%d files were loaded, want %d:\n%s", got, len(adversaries), out)
		}
	})
	const small = 48 << 10
	for name := range adversaries {
		t.Run(name, func(t *testing.T) {
			few, many := statements(t, binary, name, small), statements(t, binary, name, 4*small)
			if len(few) < 100 {
				t.Fatalf("got %d blocks, so nothing was counted", len(few))
			}
			// Each block for itself: one that is quadratic and short would drown in all of them.
			// What is sorted takes a little more than four times, and what is rare says nothing.
			for block, count := range many {
				if most := 6 * max(few[block], small/2); count > most {
					t.Errorf("%s was run %d times for %d bytes and %d times for four times as many: more than %d", block, few[block], small, count, most)
				}
			}
		})
	}
}

// statements is how often each block of them was run for a file.
func statements(t *testing.T, binary, name string, size int) map[string]int {
	t.Helper()
	profile := filepath.Join(t.TempDir(), fmt.Sprintf("%d.out", size))
	cmd := exec.Command(binary, "-test.run", "^TestAdversaries$", "-test.coverprofile", profile)
	cmd.Env = append(os.Environ(), "EVERGATE_ADVERSARY="+name, "EVERGATE_ADVERSARY_SIZE="+strconv.Itoa(size))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(profile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	blocks := map[string]int{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text()) // file:from,to statements count
		if len(fields) != 3 {
			continue
		}
		count, err := strconv.Atoi(fields[2])
		if err != nil {
			t.Fatalf("%q is no line of a profile", s.Text())
		}
		blocks[fields[0]] += count
	}
	return blocks
}
