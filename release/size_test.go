package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// most is how many bytes the program may have, on disk or in memory while nobody asks it
// anything. Whoever gets here by a new module sees with `go tool nm -size -sort size` what came
// with it; internal/slim cuts one down.
const most = 30_000_000

// TestSize: the program as it is released, on the platforms that servers have.
func TestSize(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			fi, err := os.Stat(compiled(t, target{"linux", arch}))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes", fi.Size())
			if fi.Size() > most {
				t.Errorf("it has %d bytes, want at most %d", fi.Size(), most)
			}
		})
	}
}

// TestIdleMemory: a gateway with a store, users and a listener for operators, once it is up.
func TestIdleMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		missing(t, "how much memory a process has is read from Linux' /proc, so TestIdleMemory shows nothing")
	}
	program := compiled(t, target{runtime.GOOS, runtime.GOARCH})
	dir := t.TempDir()
	port := freePort(t)
	config := filepath.Join(dir, "evergate.yaml")
	text := fmt.Sprintf(`listen: 127.0.0.1:%d
public_url: http://localhost:%[1]d
admin: { listen: 127.0.0.1:%d }
identity:
  - local: { users_file: users.yaml }
routes:
  - upstream: http://127.0.0.1:9
`, port, freePort(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	add := exec.CommandContext(t.Context(), program, "user", "add", "--config", config, "--password-stdin", "alice")
	add.Stdin = strings.NewReader("correct horse battery staple\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("add a user: %v\n%s", err, out)
	}
	serve := exec.CommandContext(t.Context(), program, "serve", "--config", config)
	var log bytes.Buffer
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
		if t.Failed() {
			t.Logf("the gateway said:\n%s", log.String())
		}
	})
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.CommandContext(t.Context(), program, "healthcheck", "--config", config).CombinedOutput()
		if err == nil {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it is not up: %v\n%s", err, out)
		}
	}
	// It looks at its store and its files every second or two, and may come to need more.
	for range 10 {
		time.Sleep(500 * time.Millisecond)
		if has := resident(t, serve.Process.Pid); has["VmRSS"] > most {
			t.Fatalf("it has %d bytes in memory, of which %d are the program's file, want at most %d", has["VmRSS"], has["RssFile"], most)
		}
	}
	t.Log(resident(t, serve.Process.Pid))
}

// compiled is the program as it is in the clone, made as for a release.
func compiled(t *testing.T, target target) string {
	t.Helper()
	w := &work{source: source{dir: ".."}, scratch: filepath.Join(workDir, "size")}
	w.version = testVersion
	path, err := w.compile(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// resident is what a process has in memory, in bytes, by the kernel's names.
func resident(t *testing.T, pid int) map[string]int {
	t.Helper()
	has := map[string]int{}
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		n, err := strconv.Atoi(f[1])
		if err != nil {
			t.Fatal(err)
		}
		has[strings.TrimSuffix(f[0], ":")] = n * 1024
	}
	return has
}

// freePort is none of those that the system gives to outgoing connections: one of them could have
// it before the gateway starts.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(12_000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free between 10,000 and 22,000")
	return 0
}
