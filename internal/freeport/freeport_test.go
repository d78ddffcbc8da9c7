package freeport_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/evergate/evergate/internal/freeport"
)

const some = 400 // of which several would be the same if each were drawn by itself

// TestMain lets the test start itself as another process, which finds ports and lives
// until nobody listens to it any more.
func TestMain(m *testing.M) {
	if os.Getenv("FREEPORT_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	for range some {
		port, err := freeport.Find()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(port)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestNoPortIsFoundTwice by two processes that look at the same time.
func TestNoPortIsFoundTwice(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "FREEPORT_TEST_CHILD=1")
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for range some {
		port, err := freeport.Find()
		if err != nil {
			t.Fatal(err)
		}
		found[fmt.Sprint(port)]++
	}
	lines := bufio.NewScanner(stdout)
	for range some {
		if !lines.Scan() {
			t.Fatalf("the other process found too few ports: %v", lines.Err())
		}
		found[lines.Text()]++
	}
	_ = stdin.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	for port, times := range found {
		if times > 1 {
			t.Errorf("port %s was found %d times", port, times)
		}
	}
}
