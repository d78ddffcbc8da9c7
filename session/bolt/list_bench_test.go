package bolt_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// BenchmarkPut shows what noting the free pages adds to a write that is alone, by how
// many there are.
func BenchmarkPut(b *testing.B) {
	for _, free := range []int{0, 1000, 4000, 16000} {
		s, err := bolt.Open(filepath.Join(b.TempDir(), "s.db"), nil)
		if err != nil {
			b.Fatal(err)
		}
		now, _ := s.Now(b.Context())
		rec := session.Record{Version: 1, Expires: now.Add(time.Hour), Tags: make([]session.Tag, 1), Data: make([]byte, 1000)}
		const n = 2000
		var kept, gone []bolt.Entry
		for i := range n + 2*free {
			if i < n {
				kept = append(kept, bolt.Entry{Key: keyOf(i), Record: rec})
			} else {
				gone = append(gone, bolt.Entry{Key: keyOf(i), Record: rec})
			}
		}
		if err := s.Fill(b.Context(), append(kept, gone...)); err != nil {
			b.Fatal(err)
		}
		done := make(chan error, 2*free)
		for i := range 2 * free {
			go func() { done <- s.Delete(b.Context(), keyOf(n+i)) }()
		}
		for range 2 * free {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		i := 1_000_000
		for _, list := range []bool{false, true} {
			b.Run(fmt.Sprintf("free=%d/noted=%v", free, list), func(b *testing.B) {
				if s.NoList(); list {
					s.ListAll()
				}
				for b.Loop() {
					if err := s.Put(b.Context(), keyOf(i), 0, rec); err != nil {
						b.Fatal(err)
					}
					i++
				}
				b.ReportMetric(float64(s.Free()), "free")
			})
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
