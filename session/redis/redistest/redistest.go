// Package redistest starts real servers for tests: Redis or Valkey, single, as a
// Cluster or with Sentinels, on free ports of loopback. They end with the test.
package redistest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/freeport"
)

// Server is one running server.
type Server struct {
	t    testing.TB
	bin  string
	dir  string
	args []string
	port int
	cmd  *exec.Cmd
}

// Find returns the path of a server program, redis-server or valkey-server, or
// skips the test; in CI a missing one is a failure.
func Find(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("SKIPPED: %s is not installed; make deps installs it", name)
	return ""
}

// Start starts redis-server with more settings, which come in pairs of name and value.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	return StartProgram(t, Find(t, "redis-server"), settings...)
}

// StartProgram is Start for the program at path.
func StartProgram(t testing.TB, path string, settings ...string) *Server {
	t.Helper()
	s := &Server{t: t, bin: path, dir: t.TempDir(), port: FreePort(t)}
	s.args = []string{"--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no"}
	for i := 0; i < len(settings); i += 2 {
		s.args = append(s.args, "--"+settings[i])
		s.args = append(s.args, strings.Fields(settings[i+1])...)
	}
	t.Cleanup(s.Kill)
	s.Run()
	return s
}

// Run starts the server, again after a Kill or Stop, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, s.args...)
	s.cmd.Dir = s.dir
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 1200 {
		if c, err := net.Dial("tcp", s.Address()); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.t.Fatalf("%s does not answer:\n%s", s.bin, b)
}

// Address is host:port.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Port is the port.
func (s *Server) Port() int { return s.port }

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Signal sends a signal: SIGSTOP makes it hang, SIGCONT go on.
func (s *Server) Signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// CLI runs a command with redis-cli and returns what it says.
func (s *Server) CLI(args ...string) string {
	s.t.Helper()
	out, err := s.TryCLI(args...)
	if err != nil {
		s.t.Fatalf("redis-cli %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// TryCLI is CLI for what may fail.
func (s *Server) TryCLI(args ...string) (string, error) {
	s.t.Helper()
	out, err := exec.Command(Find(s.t, "redis-cli"), append([]string{"-p", fmt.Sprint(s.port)}, args...)...).CombinedOutput()
	text := string(bytes.TrimSpace(out))
	if err == nil && (strings.HasPrefix(text, "ERR") || strings.HasPrefix(text, "NO") || strings.HasPrefix(text, "WRONG")) {
		err = fmt.Errorf("%s", text)
	}
	return text, err
}

// Cluster starts a Cluster of three masters and returns its nodes.
func Cluster(t testing.TB) []*Server {
	t.Helper()
	var nodes []*Server
	for range 3 {
		// The default bus port is 10,000 above, which may be none.
		nodes = append(nodes, Start(t, "cluster-enabled", "yes", "cluster-port", fmt.Sprint(FreePort(t)), "cluster-node-timeout", "15000"))
	}
	for i, n := range nodes {
		n.CLI("cluster", "addslotsrange", fmt.Sprint(i*5462), fmt.Sprint(min((i+1)*5462-1, 16383)))
		n.CLI("cluster", "set-config-epoch", fmt.Sprint(i+1))
	}
	for _, n := range nodes[1:] {
		bus := ""
		for i, a := range nodes[0].args {
			if a == "--cluster-port" {
				bus = nodes[0].args[i+1]
			}
		}
		n.CLI("cluster", "meet", "127.0.0.1", fmt.Sprint(nodes[0].port), bus)
	}
	for range 1200 {
		ready := 0
		for _, n := range nodes {
			info := n.CLI("cluster", "info")
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3") {
				ready++
			}
		}
		if ready == len(nodes) {
			return nodes
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the Cluster does not come up")
	return nil
}

// Sentinels starts a master, a replica and three Sentinels that know the master by name. They
// are slow to take it for dead, as a busy machine is to answer, until they are set to be quick.
func Sentinels(t testing.TB, name string) (master, replica *Server, sentinels []*Server) {
	t.Helper()
	path := Find(t, "redis-sentinel")
	master = Start(t)
	replica = Start(t, "replicaof", fmt.Sprintf("127.0.0.1 %d", master.port))
	for range 3 {
		s := &Server{t: t, bin: path, dir: t.TempDir(), port: FreePort(t)}
		file := filepath.Join(s.dir, "sentinel.conf")
		conf := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %d 2\nsentinel down-after-milliseconds %s 60000\nsentinel failover-timeout %s 5000\n",
			s.port, s.dir, name, master.port, name, name)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = []string{file}
		t.Cleanup(s.Kill)
		s.Run()
		sentinels = append(sentinels, s)
	}
	for range 1200 {
		ready := 0
		for _, s := range sentinels {
			info := s.CLI("sentinel", "master", name)
			if strings.Contains(info, "num-slaves\n1") && strings.Contains(info, "num-other-sentinels\n2") {
				ready++
			}
		}
		if ready == 3 && strings.Contains(replica.CLI("info", "replication"), "master_link_status:up") {
			return master, replica, sentinels
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the Sentinels do not find each other")
	return nil, nil, nil
}

// FreePort is freeport.Find for a test.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
