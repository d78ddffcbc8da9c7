package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the evergate that TestMain built.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "evergate-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	buildDir = dir
	binary = filepath.Join(dir, "evergate")
	build := exec.Command("go", "build", "-o", binary, "./cmd/evergate")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: build evergate: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need returns the path of a real part of a test. Without it the test cannot
// show anything: it is skipped aloud, or fails where CI demands all of them.
func need(t *testing.T, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	missing(t, fmt.Sprintf("%s is not installed, so %s shows nothing; apt-get install %s", program, t.Name(), debianPackage))
	return ""
}

// missing skips a test aloud, or fails it where CI demands all of them.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	fmt.Fprintln(os.Stderr, "SKIPPED:", why)
	t.Skip(why)
}
