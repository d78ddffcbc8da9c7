package door_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

// volume is a mounted Kubernetes Secret: files are links through ..data, which is
// swapped as one.
type volume struct {
	*testing.T
	dir string
	n   int
}

func (v *volume) set(chain, key []byte) {
	v.Helper()
	v.n++
	name := fmt.Sprintf("..%d", v.n)
	if err := os.Mkdir(filepath.Join(v.dir, name), 0o700); err != nil {
		v.Fatal(err)
	}
	write(v.T, filepath.Join(v.dir, name, "tls.crt"), chain)
	write(v.T, filepath.Join(v.dir, name, "tls.key"), key)
	tmp := filepath.Join(v.dir, "..tmp")
	if err := errors.Join(os.Symlink(name, tmp), os.Rename(tmp, filepath.Join(v.dir, "..data"))); err != nil {
		v.Fatal(err)
	}
	for _, f := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", f), filepath.Join(v.dir, f)); err != nil && !errors.Is(err, os.ErrExist) {
			v.Fatal(err)
		}
	}
}

// serial says which certificate new connections get.
func serial(t *testing.T, a *authority, address string) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", address, a.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestCertificateFollowsItsFiles through a swapped volume, a torn write and a bad
// pair, while a connection of before goes on.
func TestCertificateFollowsItsFiles(t *testing.T) {
	a := newAuthority(t)
	end := time.Now().Add(60 * 24 * time.Hour)
	v := &volume{T: t, dir: t.TempDir()}
	v.set(a.issue(t, 1, end))
	log := &book{}
	f, err := door.OpenFiles(door.FilesOptions{CertFile: filepath.Join(v.dir, "tls.crt"), KeyFile: filepath.Join(v.dir, "tls.key"),
		Hosts: []string{"gate.example", "other.example"}, Every: 5 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, door.Options{Certificates: f})
	kept, err := tls.Dial("tcp", s.front, a.client())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	alive := func() {
		t.Helper()
		fmt.Fprintf(kept, "GET / HTTP/1.1\r\nHost: gate.example\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(kept), nil)
		if err != nil {
			t.Fatalf("the connection of before: %v", err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
	alive()
	if got := serial(t, a, s.front); got != 1 || f.Trouble() != nil {
		t.Fatalf("got certificate %d, %v, want the first", got, f.Trouble())
	}
	if log.count("tls.host") != 1 || !strings.Contains(log.String(), "host=other.example") {
		t.Errorf("got %s, want one line about other.example", log)
	}

	v.set(a.issue(t, 2, end))
	within(t, patience, "the swapped certificate", func() bool { return serial(t, a, s.front) == 2 })
	alive()

	chain, key := a.issue(t, 3, end)
	_, wrong := a.issue(t, 4, end)
	for _, bad := range []struct {
		name       string
		chain, key []byte
		want       string
	}{
		{"a key of another", chain, wrong, "private key does not match"},
		{"half a file", chain[:len(chain)/2], key, "failed to find any PEM data"},
		{"nothing", nil, nil, "failed to find any PEM data"},
		{"one that has ended", nil, nil, "it ended on"},
	} {
		if bad.name == "one that has ended" {
			bad.chain, bad.key = a.issue(t, 5, time.Now().Add(-time.Hour))
		}
		before := log.count("tls.bad")
		v.set(bad.chain, bad.key)
		within(t, patience, bad.name+" is told", func() bool {
			err := f.Trouble()
			return err != nil && strings.Contains(err.Error(), bad.want)
		})
		time.Sleep(30 * time.Millisecond) // some more looks at the same files
		if got := serial(t, a, s.front); got != 2 {
			t.Errorf("%s: certificate %d is served, want the one of before", bad.name, got)
		}
		if got := log.count("tls.bad") - before; got != 1 {
			t.Errorf("%s: told %d times, want once", bad.name, got)
		}
	}
	alive()

	// Written one after the other: the certificate is there first, then its key.
	v.set(chain, wrong)
	within(t, patience, "the torn pair is told", func() bool { return strings.Contains(fmt.Sprint(f.Trouble()), "private key does not match") })
	v.set(chain, key)
	within(t, patience, "the good one", func() bool { return serial(t, a, s.front) == 3 && f.Trouble() == nil })
	alive()

	if err := os.Remove(filepath.Join(v.dir, "tls.key")); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "the missing file is told", func() bool { return f.Trouble() != nil && strings.Contains(f.Trouble().Error(), "read tls.key_file") })
	if serial(t, a, s.front) != 3 {
		t.Error("without its file the certificate of before is not served on")
	}
}

func TestWithoutAGoodPairThereIsNoStart(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	chain, _ := a.issue(t, 1, time.Now().Add(time.Hour))
	_, key := a.issue(t, 2, time.Now().Add(time.Hour))
	o := door.FilesOptions{CertFile: filepath.Join(dir, "c"), KeyFile: filepath.Join(dir, "k"), Log: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		name, file string
		content    []byte
		want       string
	}{
		{"no certificate", "", nil, "read tls.cert_file"},
		{"no key", "c", chain, "read tls.key_file"},
		{"the key of another", "k", key, "private key does not match"},
	} {
		if c.file != "" {
			write(t, filepath.Join(dir, c.file), c.content)
		}
		if _, err := door.OpenFiles(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
}

// TestTheEndIsToldInTime: 14 days before, or a third of a short life, and once a day in the log.
func TestTheEndIsToldInTime(t *testing.T) {
	a, dir, log := newAuthority(t), t.TempDir(), &book{}
	end := time.Now().Add(90 * 24 * time.Hour).Truncate(time.Second)
	chain, key := a.issue(t, 1, end)
	now := time.Now()
	f, err := door.OpenFiles(door.FilesOptions{CertFile: write(t, filepath.Join(dir, "c"), chain), KeyFile: write(t, filepath.Join(dir, "k"), key),
		Log: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		left  time.Duration
		want  string
		lines int
	}{
		{15 * 24 * time.Hour, "", 0},
		{14*24*time.Hour - time.Minute, "in 13 days", 1},
		{14*24*time.Hour - time.Hour, "in 13 days", 1},
		{13*24*time.Hour - time.Hour, "in 12 days", 2},
		{time.Hour, "in 1h0m0s", 3},
		{-time.Minute, "the certificate ended on", 3},
		{91 * 24 * time.Hour, "is not valid before", 3}, // the clock went back
	} {
		now = end.Add(-c.left)
		_ = f.Refresh()
		if got := f.Trouble(); (got == nil) != (c.want == "") || got != nil && !strings.Contains(got.Error(), c.want) {
			t.Errorf("%v before its end: got %v, want %q", c.left, got, c.want)
		}
		if got := log.count("tls.ending"); got != c.lines {
			t.Errorf("%v before its end: %d lines, want %d\n%s", c.left, got, c.lines, log)
		}
	}
}

// TestAShortLifeIsGivenAThird, or it would be warned of from its first day on.
func TestAShortLifeIsGivenAThird(t *testing.T) {
	day := 24 * time.Hour
	now := time.Now()
	for _, c := range []struct {
		life, left time.Duration
		want       bool
	}{
		{90 * day, 15 * day, false}, {90 * day, 13 * day, true},
		{45 * day, 14*day + time.Hour, false}, {45 * day, 13 * day, true},
		{6 * day, 3 * day, false}, {6 * day, day, true},
		{day, 9 * time.Hour, false}, {day, 7 * time.Hour, true},
	} {
		leaf := &x509.Certificate{NotBefore: now.Add(c.left - c.life), NotAfter: now.Add(c.left)}
		if got := door.EndsSoon(leaf, now); (got != nil) != c.want {
			t.Errorf("%v of %v left: got %v, want a warning: %v", c.left, c.life, got, c.want)
		}
	}
}

// TestACertificateIsNotAskedForTooOften: Let's Encrypt lets a host fail five times an
// hour.
func TestACertificateIsNotAskedForTooOften(t *testing.T) {
	var at time.Duration
	inAnHour := 1 // at once
	for tries := 1; tries < 50; tries++ {
		wait := door.RetryAfter(tries)
		if wait < 2*time.Minute || wait > 6*time.Hour {
			t.Fatalf("after %d failures: got %v, want 2m to 6h", tries, wait)
		}
		if at += wait; at < time.Hour {
			inAnHour++
		}
	}
	if inAnHour > 4 {
		t.Errorf("got %d attempts in the first hour, want 4", inAnHour)
	}
}
