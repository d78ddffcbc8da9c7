package rig

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// Need skips a test that runs the real programs where they cannot be had or measured. In CI,
// where all of them are to be had, that is a failure.
func Need(t testing.TB) {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("SKIPPED: it builds and runs the real programs; run without -short")
	case raced:
		t.Skip("SKIPPED: it runs programs that are built without the race detector; make measured runs it")
	case runtime.GOOS != "linux":
		t.Skip("SKIPPED: only Linux tells the CPU time of other processes")
	}
	for _, program := range []string{"wrk", "redis-server"} {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed; make deps installs it", program)
		}
		t.Skipf("SKIPPED: %s is not installed; make deps installs it", program)
	}
}
