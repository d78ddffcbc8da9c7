package bolt_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// TestSweepAndWritesTakeTurns has what waits answered before each chunk of a
// sweep, a chunk bounded, and the sweep go on under a flood of writes.
func TestSweepAndWritesTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	full := open(t, path)
	now, _ := full.Now(t.Context())
	const expired = 3000
	errs := make(chan error, expired)
	for i := range expired {
		go func() {
			errs <- full.Put(t.Context(), keyOf(i), 0, session.Record{Version: 1, Expires: now.Add(-time.Second)})
		}()
	}
	for range expired {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, full)

	s, err := bolt.OpenStill(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.StartSweep()
	left, next := s.Count(), expired
	for turn := 0; ; turn++ {
		const flood = bolt.MaxBatch + 50
		answers := make(chan error, flood)
		waiting := s.Waiting()
		for i := next; i < next+flood-waiting; i++ {
			go func() {
				answers <- s.Put(t.Context(), keyOf(i), 0, session.Record{Version: 1, Expires: now.Add(time.Hour)})
			}()
		}
		next += flood - waiting
		for s.Waiting() < flood {
			time.Sleep(time.Millisecond)
		}
		before := s.Transactions()
		more := s.Turn()
		if got := s.Waiting(); got != flood-bolt.MaxBatch {
			t.Fatalf("turn %d: %d writes still wait, want a batch of them answered", turn, got)
		}
		if got := s.Transactions() - before; got != 2 {
			t.Fatalf("turn %d: got %d transactions, want one for a batch and one for a chunk", turn, got)
		}
		swept := left + bolt.MaxBatch - s.Count()
		if swept > bolt.SweepMost || (swept == 0 && more) {
			t.Fatalf("turn %d: %d records were swept, want 1 to %d", turn, swept, bolt.SweepMost)
		}
		left += bolt.MaxBatch - swept
		if !more {
			if want := (turn + 1) * bolt.MaxBatch; left != want {
				t.Errorf("at the end: got %d records, want the %d that live", left, want)
			}
			return
		}
	}
}
