package curves

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// sweep lets sessions expire at once and writes others, one after the other: while those
// are swept, and in the same file when they are gone.
func (b *bench) sweep(ctx context.Context) (result, error) {
	text, err := measureSweep(ctx, filepath.Join(b.rig.Dir, "sweep.db"), b.Expired, b.Quiet)
	return result{table: text}, err
}

func measureSweep(ctx context.Context, path string, n int, quietTime time.Duration) (string, error) {
	s, err := bolt.Open(path, nil)
	if err != nil {
		return "", err
	}
	defer s.Close()
	now, err := s.Now(ctx)
	if err != nil {
		return "", err
	}
	expires := now.Add(time.Hour)
	entries := make([]bolt.Entry, n)
	for i := range entries {
		entries[i] = entry(now)
	}
	if err := s.Fill(ctx, entries); err != nil {
		return "", err
	}
	var quiet, sweeping report.Latencies
	var took time.Duration
	s.SweepSoon()
	for s.Swept() == 0 {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	left := n - int(s.Swept())
	for began := time.Now(); s.Swept() < uint64(n); took = time.Since(began) {
		at := time.Now()
		if err := put(ctx, s, expires); err != nil {
			return "", err
		}
		sweeping = append(sweeping, time.Since(at))
	}
	for end := time.Now().Add(quietTime); time.Now().Before(end); {
		at := time.Now()
		if err := put(ctx, s, expires); err != nil {
			return "", err
		}
		quiet = append(quiet, time.Since(at))
	}
	slices.Sort(quiet)
	slices.Sort(sweeping)
	var b strings.Builder
	fmt.Fprintf(&b, "| one write at a time | writes | p50 | p95 | p99 | longest |\n|---|--:|--:|--:|--:|--:|\n")
	for _, row := range []struct {
		name string
		l    report.Latencies
	}{
		{"while nothing is swept", quiet},
		{fmt.Sprintf("while %s expired sessions are swept (%s)", report.Count(left), took.Round(100*time.Millisecond)), sweeping},
	} {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.name, report.Count(len(row.l)),
			report.Milli(row.l.At(.5)), report.Milli(row.l.At(.95)), report.Milli(row.l.At(.99)), report.Milli(row.l.At(1)))
	}
	return b.String(), nil
}

// entry is a session as large as they are.
func entry(expires time.Time) (e bolt.Entry) {
	e.Record = session.Record{Version: 1, Expires: expires, Tags: make([]session.Tag, 1), Data: make([]byte, 1100)}
	_, _ = rand.Read(e.Key[:])
	_, _ = rand.Read(e.Record.Tags[0][:])
	return e
}

func put(ctx context.Context, s *bolt.Store, expires time.Time) error {
	e := entry(expires)
	return s.Put(ctx, e.Key, 0, e.Record)
}
