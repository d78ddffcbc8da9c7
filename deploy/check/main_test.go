package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is the root of the source, seen from here.
const repository = "../.."

// image is the root file system that deploy/Dockerfile makes.
var image struct {
	root string
	err  error
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "evergate-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "deploy/check:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // containers run as somebody else
		fmt.Fprintln(os.Stderr, "deploy/check:", err)
		return 1
	}
	image.root, image.err = buildImage(dir)
	return m.Run()
}

// need returns the path of a real part of a test. Without it the test cannot show
// anything: it is skipped aloud, or fails where CI demands all of them.
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

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// output runs a program to its end and returns all that it said.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), err
}
