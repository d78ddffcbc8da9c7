package door_test

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

// TestReconfigure: limits and trust change for connections to come.
func TestReconfigure(t *testing.T) {
	s := serve(t, door.Options{Limits: door.Limits{ConnectionsPerAddress: 8}})
	for range 8 {
		if !stays(dialFrom(t, stranger, s.front)) {
			t.Fatal("a connection within the limit was closed")
		}
	}
	if !closedAtOnce(dialFrom(t, stranger, s.front)) {
		t.Fatal("a connection over the limit stays")
	}
	s.Reconfigure(9, nil)
	if !stays(dialFrom(t, stranger, s.front)) || !closedAtOnce(dialFrom(t, stranger, s.front)) {
		t.Error("the limit of nine is not in force")
	}
	s.Reconfigure(9, []netip.Prefix{netip.MustParsePrefix(stranger + "/32")})
	if !stays(dialFrom(t, stranger, s.front)) {
		t.Error("an address that is trusted now has a limit")
	}
}

// TestOtherCertificateFiles: a good pair takes the place of the one of before, a bad one
// changes nothing.
func TestOtherCertificateFiles(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	pair := func(name string, serial int64) door.Served {
		chain, key := a.issue(t, serial, time.Now().Add(60*24*time.Hour))
		return door.Served{CertFile: write(t, filepath.Join(dir, name+".crt"), chain), KeyFile: write(t, filepath.Join(dir, name+".key"), key)}
	}
	one, two := pair("one", 1), pair("two", 2)
	f, err := door.OpenFiles(door.FilesOptions{CertFile: one.CertFile, KeyFile: one.KeyFile, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		c, err := f.TLS().GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.SerialNumber.Int64()
	}
	if _, err := f.Prepare(door.Served{CertFile: one.CertFile, KeyFile: two.KeyFile}); err == nil {
		t.Error("a key of another certificate was taken")
	}
	use, err := f.Prepare(two)
	if err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 1 {
		t.Errorf("before it is in force: got %d, want 1", got)
	}
	use()
	if got := serial(); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
	if err := f.Refresh(); err != nil || serial() != 2 {
		t.Errorf("looked at again: got %d, %v, want 2", serial(), err)
	}
}
