package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// full reports whether tests are to run at the size that the figures in docs/performance.md
// have: EVERGATE_FULL=1. Otherwise they are smaller, and show the same.
func full() bool { return os.Getenv("EVERGATE_FULL") != "" }

// memory is what a process has of its own, now and at most, in KiB.
func (p *process) memory(t *testing.T) (now, most int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		missing(t, "the memory of a process is read from /proc, so "+t.Name()+" shows nothing here: "+err.Error())
	}
	of := func(name string) int {
		_, rest, _ := strings.Cut(string(b), name+":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			t.Fatalf("there is no %s in\n%s", name, b)
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return of("RssAnon"), of("VmHWM")
}
