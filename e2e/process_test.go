package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/freeport"
)

// process is a program that a test started, and ends.
type process struct {
	cmd    *exec.Cmd
	stdout output
	stderr output
	ended  chan struct{} // closed once err is set
	err    error
}

// start runs a program in dir. Its end comes with the test's, by its process id
// alone; what it wrote is shown if the test failed.
func start(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	return startIn(t, nil, dir, program, args...)
}

// startApart is start for a program that signals its whole process group: it gets one
// of its own.
func startApart(t *testing.T, dir, program string, args ...string) *process {
	t.Helper()
	return startIn(t, &syscall.SysProcAttr{Setpgid: true}, dir, program, args...)
}

func startIn(t *testing.T, group *syscall.SysProcAttr, dir, program string, args ...string) *process {
	t.Helper()
	common.take(t)
	p := &process{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.SysProcAttr = group
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// Whatever a program would leave behind, it would leave in dir.
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s %s\n-- stdout\n%s-- stderr\n%s", program, strings.Join(args, " "), p.stdout.end(), p.stderr.end())
		}
	})
	return p
}

// stop asks the program to end and waits for it. A gateway that is asked ends
// with exit code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("%s: ended by %v, want exit code 0 after SIGTERM", p.cmd.Path, p.err)
		}
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("%s: still ran 20 s after SIGTERM", p.cmd.Path)
	}
}

// awaitHTTP waits until url answers at all.
func (p *process) awaitHTTP(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended before it answered: %v\n%s", p.cmd.Path, p.err, p.stderr.String())
		case <-ctx.Done():
			t.Fatalf("%s does not answer at %s", p.cmd.Path, url)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// evergate runs one command of the binary to its end, with stdin, and returns
// its stdout.
func evergate(t *testing.T, dir, stdin string, args ...string) string {
	t.Helper()
	common.take(t)
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("evergate %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// freePort returns a loopback port that nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// output collects what a program writes while it runs.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// end returns the last lines.
func (o *output) end() string {
	lines := strings.SplitAfter(o.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "")
}
