package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// testVersion is the one that docs/install.md speaks of, and nextVersion an upgrade.
const (
	testVersion = "1.2.3"
	nextVersion = "1.2.4"
)

// work is a folder for what several tests look at.
var workDir string

func TestMain(m *testing.M) {
	if os.Getenv("EVERGATE_RELEASE_MAIN") != "" { // the test's binary is the program too
		main()
	}
	os.Exit(func() int {
		var err error
		if workDir, err = os.MkdirTemp("", "evergate-release-test-"); err != nil {
			fmt.Fprintln(os.Stderr, "release:", err)
			return 1
		}
		defer os.RemoveAll(workDir)
		return m.Run()
	}())
}

// full is set where all platforms are built, and everything twice from nothing.
func full() bool { return os.Getenv("EVERGATE_FULL") != "" }

// testTargets are what the tests build for.
func testTargets() string {
	if full() {
		return strings.Join(targetNames(), ",")
	}
	return "linux/amd64"
}

// made is the folder of a release of what is in the clone now, changes of files that git
// knows included.
var made = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(workDir, "release")
	return dir, program(nil, "-repo", "..", "-commit", now(), "-version", testVersion, "-out", dir, "-targets", testTargets())
})

// madeNext has the packages of the version after it.
var madeNext = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(workDir, "next")
	return dir, program(nil, "-repo", "..", "-commit", now(), "-version", nextVersion, "-out", dir, "-targets", "linux/amd64", "-only", "deb,rpm")
})

// now is a commit of the folder as it is. It belongs to no branch.
var now = sync.OnceValue(func() string {
	stash, err := git(context.Background(), "..", "-c", "user.name=Test", "-c", "user.email=test@example.com", "stash", "create")
	if err != nil || stash == "" {
		return "HEAD"
	}
	return stash
})

// folder returns what made or madeNext did.
func folder(t *testing.T, made func() (string, error)) string {
	t.Helper()
	dir, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// program runs the program to its end, with more in its environment.
func program(env []string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(append(os.Environ(), "EVERGATE_RELEASE_MAIN=1"), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("release %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return nil
}

// need returns the path of a real part of a test. Without it the test cannot show
// anything: it is skipped aloud, or fails where CI demands all of them.
func need(t *testing.T, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, fmt.Sprintf("%s is not installed, so %s shows nothing; apt-get install %s", program, t.Name(), debianPackage))
	}
	return path
}

func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	fmt.Fprintln(os.Stderr, "SKIPPED:", why)
	t.Skip(why)
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
