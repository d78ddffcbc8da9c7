package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// TestMain lets a test start itself as another process, which a limit or a kill is
// for.
func TestMain(m *testing.M) {
	switch path := os.Getenv("BOLT_TEST_FILE"); os.Getenv("BOLT_TEST_CHILD") {
	case "limit":
		underLimit(path)
	case "compact":
		compactAndDie(path, os.Getenv("BOLT_TEST_STEP"))
	default:
		os.Exit(m.Run())
	}
}

func child(t *testing.T, what, path, step string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BOLT_TEST_CHILD="+what, "BOLT_TEST_FILE="+path, "BOLT_TEST_STEP="+step)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func compactAndDie(path, at string) {
	_, err := bolt.OpenCompacting(path, nil, func(step string) {
		if step == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	fmt.Println("it lived on", err)
	os.Exit(3)
}

func TestCompactionThatIsKilledLosesNothing(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "s.db")
	mostlyEmpty(t, whole)
	for _, step := range bolt.Steps {
		path := copied(t, whole)
		if out, err := child(t, "compact", path, step); err == nil || strings.Contains(out, "lived on") {
			t.Fatalf("killed at step %s: got %v\n%s", step, err, out)
		}
		s := open(t, path)
		has(t, s, 0, few)
		closeStore(t, s)
		if _, err := os.Stat(path + ".compact"); !os.IsNotExist(err) {
			t.Errorf("killed at step %s: something is left beside the file: %v", step, err)
		}
		wantWhole(t, path)
	}
}

// smallDisk is a file system in memory of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root on Linux, to mount a small disk")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "none", dir).CombinedOutput(); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// takeAll fills what is left of a disk.
func takeAll(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// putUntil puts records from first on until one fails.
func putUntil(t *testing.T, s *bolt.Store, first int) (next int, err error) {
	t.Helper()
	now, _ := s.Now(t.Context())
	for next = first; next < first+50_000; next++ {
		rec := session.Record{Version: 1, Expires: now.Add(time.Hour), Tags: []session.Tag{tagOf(next)}, Data: make([]byte, 1000)}
		if err = s.Put(t.Context(), keyOf(next), 0, rec); err != nil {
			return next, err
		}
	}
	t.Fatal("every write succeeded")
	return
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 12<<20)
	path, ballast := filepath.Join(dir, "s.db"), filepath.Join(dir, "ballast")
	var log bytes.Buffer
	s, err := bolt.Open(path, textLog(&log))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 0, 200)
	takeAll(t, ballast)
	n, err := putUntil(t, s, 200)
	for _, want := range []string{path, "no space left", "make room"} {
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), want) {
			t.Errorf("a write on a full disk: got %v, want it to say %q", err, want)
		}
	}
	if s.Trouble() == nil || strings.Count(log.String(), "cannot be written") != 1 {
		t.Errorf("trouble: got %v and the log\n%s", s.Trouble(), &log)
	}
	has(t, s, 0, n)
	// Whoever signs out is out, disk or no disk, and what is over goes.
	for i := range 100 {
		if err := s.Delete(t.Context(), keyOf(i)); err != nil {
			t.Fatalf("a removal on a full disk: %v", err)
		}
	}
	if _, err := s.Sweep(); err != nil {
		t.Errorf("a sweep on a full disk: %v", err)
	}
	killed := filepath.Join(t.TempDir(), "s.db")
	if b, err := os.ReadFile(path); err != nil || os.WriteFile(killed, b, 0o600) != nil {
		t.Fatal(err)
	}
	wantWhole(t, killed)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	fill(t, s, n, 100)
	has(t, s, 100, n)
	if s.Trouble() != nil || !strings.Contains(log.String(), "can be written again") {
		t.Errorf("with room again: got %v and the log\n%s", s.Trouble(), &log)
	}
	takeAll(t, ballast)
	closeStore(t, s)
	s = open(t, path)
	has(t, s, 100, n)
	closeStore(t, s)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, path)
}

func TestNewFileOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	path, ballast := filepath.Join(dir, "s.db"), filepath.Join(dir, "ballast")
	takeAll(t, ballast)
	for _, room := range []int64{0, 4096, 8192, 64 << 10} {
		if err := os.Truncate(ballast, sizeOf(t, ballast)-room); err != nil {
			t.Fatal(err)
		}
		_, err := bolt.Open(path, nil)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) {
			t.Fatalf("with %d bytes of room: got %v, want no space and the file", room, err)
		}
	}
	// What the tries have left is no obstacle to the next.
	if err := os.Truncate(ballast, 0); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	fill(t, s, 0, 10)
	closeStore(t, s)
}

func TestCompactionOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 48<<20)
	path := filepath.Join(dir, "s.db")
	mostlyEmpty(t, path)
	before := sizeOf(t, path)
	takeAll(t, filepath.Join(dir, "ballast"))
	var log bytes.Buffer
	s, err := bolt.OpenCompacting(path, textLog(&log), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := sizeOf(t, path); got != before || !strings.Contains(log.String(), "could not be compacted") {
		t.Errorf("got %d bytes of %d and the log\n%s", got, before, &log)
	}
	if _, err := os.Stat(path + ".compact"); !os.IsNotExist(err) {
		t.Errorf("the copy that was begun: got %v, want it gone", err)
	}
	has(t, s, 0, few)
	fill(t, s, many, 20)
}

func TestReadOnlyDiskIsSaid(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	path := filepath.Join(dir, "s.db")
	closeStore(t, open(t, path))
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Skipf("remount: %v: %s", err, out)
	}
	_, err := bolt.Open(path, nil)
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "mount it read-write") {
		t.Errorf("got %v, want the file, and that its disk is read-only", err)
	}
}

func TestFileOfSomebodyElseIsSaid(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may open every file")
	}
	path := filepath.Join(t.TempDir(), "s.db")
	closeStore(t, open(t, path))
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, nil); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v, want permission denied and what to do", err)
	}
}

// TestLimitOnFileSizes runs a store in a process whose files may not grow beyond
// 4 MiB, which is refused by another error than a full disk.
func TestLimitOnFileSizes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	if out, err := child(t, "limit", path, ""); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantWhole(t, path)
}

func underLimit(path string) {
	ctx := context.Background()
	fail := func(args ...any) {
		fmt.Println(args...)
		os.Exit(1)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4 << 20, Max: 1 << 30}); err != nil {
		fail(err)
	}
	s, err := bolt.Open(path, nil)
	if err != nil {
		fail(err)
	}
	put := func(i int) error {
		return s.Put(ctx, keyOf(i), 0, session.Record{Version: 1, Expires: time.Now().Add(time.Hour), Data: make([]byte, 1000)})
	}
	n := 0
	for ; err == nil && n < 50_000; n++ {
		err = put(n)
	}
	if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "ulimit") {
		fail("a write beyond the limit: got", err)
	}
	for i := range n - 1 {
		if _, err := s.Get(ctx, keyOf(i), 0); err != nil {
			fail("a read after it:", err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 30, Max: 1 << 30}); err != nil {
		fail(err)
	}
	if err := put(n); err != nil {
		fail("with a higher limit:", err)
	}
	if err := s.Close(); err != nil {
		fail(err)
	}
}

// TestCommitThatFails takes the file away from under bolt, so that the commit
// itself fails, and gives it back.
func TestCommitThatFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	fill(t, s, 0, 300)
	fd := int(s.File().Fd())
	kept, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(kept) }()
	reading, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	if err := syscall.Dup3(int(reading.Fd()), fd, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := putUntil(t, s, 300); !errors.Is(err, syscall.EBADF) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want the error of the write and the file", err)
	}
	before := s.Transactions()
	if _, err := putUntil(t, s, 300); !errors.Is(err, syscall.EBADF) || s.Transactions() != before {
		t.Errorf("right after: got %v, want the same without a try", err)
	}
	has(t, s, 0, 300)
	if err := syscall.Dup3(kept, fd, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	now, _ := s.Now(t.Context())
	rec := session.Record{Version: 1, Expires: now.Add(time.Hour), Tags: []session.Tag{tagOf(300)}, Data: make([]byte, 1000)}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = s.Put(t.Context(), keyOf(300), 0, rec); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Fatalf("with the file back: %v", err)
	}
	has(t, s, 0, 301)
	fill(t, s, 301, 300)
	closeStore(t, s)
	wantWhole(t, path)
	s = open(t, path)
	defer s.Close()
	has(t, s, 0, 601)
}
