package attacks

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// diffDir is a folder that servers who give up root can read.
func diffDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "evergate-differential-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// diffRun runs a server until the test is over, and waits until it listens.
func diffRun(t *testing.T, dir string, port int, program string, args ...string) {
	t.Helper()
	cmd, out := exec.Command(program, args...), &output{}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // some signal their whole group
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", program, out.end())
		}
	})
	for range 1000 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended before it listened:\n%s", program, out.end())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen:\n%s", program, out.end())
}

// diffNeed finds a program of a Debian package.
func diffNeed(t *testing.T, program, pkg string) string {
	t.Helper()
	for _, p := range []string{program, "/usr/sbin/" + program} {
		if found, err := exec.LookPath(p); err == nil {
			return found
		}
	}
	missing(t, fmt.Sprintf("%s is not installed, so nothing is known of how it reads requests; apt-get install %s", program, pkg))
	return ""
}

func diffWrite(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// diffLines calls f for each whole line of a file that grows.
func diffLines(file string, f func(line string)) {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if strings.HasSuffix(line, "\n") {
			f(strings.TrimSuffix(line, "\n"))
		}
	}
}

// accesses reads an access log with JSON in it: what the server answered with no app is in
// there alone.
func (s *diffServer) accesses(file string) {
	s.files = append(s.files, func(all []*diffReading) []*diffReading {
		seen := map[string]bool{}
		for _, r := range all {
			seen[r.ID] = true
		}
		diffLines(file, func(line string) {
			var r diffReading
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				r.Status = "an access line that cannot be read: " + line
			}
			if r.ID = strings.TrimPrefix(r.ID, "-"); !seen[r.ID] || r.ID == "" {
				all = append(all, &r)
			}
		})
		return all
	})
}
