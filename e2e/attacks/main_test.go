package attacks

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/security.md")

// binary is the evergate that TestMain built.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "evergate-attacks-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "attacks:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "evergate")
	build := exec.Command("go", "build", "-o", binary, "./cmd/evergate")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "attacks: build evergate: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// missing skips a case aloud, or fails it where CI demands all of them.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	fmt.Fprintln(os.Stderr, "SKIPPED:", why)
	t.Skip(why)
}
