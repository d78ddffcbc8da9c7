package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// quietTime is for how long writes are measured when all is swept.
const quietTime = 10 * time.Second

// measureSweep lets n sessions expire at once and writes others, one after the
// other: while those are swept, and in the same file when they are gone.
func measureSweep(ctx context.Context, path string, n int) (string, error) {
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
	if err := putMany(ctx, s, n, now); err != nil {
		return "", err
	}
	var quiet, sweeping report.Latencies
	var took time.Duration
	for s.Swept() == 0 { // the store begins each minute, if the filling took no longer
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

func put(ctx context.Context, s *bolt.Store, expires time.Time) error {
	rec := session.Record{Version: 1, Expires: expires, Tags: make([]session.Tag, 1), Data: make([]byte, 1100)}
	var key session.Key
	_, _ = rand.Read(key[:])
	_, _ = rand.Read(rec.Tags[0][:])
	return s.Put(ctx, key, 0, rec)
}

func putMany(ctx context.Context, s *bolt.Store, n int, expires time.Time) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	failed := make(chan error, writers)
	for range writers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := put(ctx, s, expires); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}
