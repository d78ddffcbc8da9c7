package bound

import (
	"sync"
	"time"
)

// resent are the proofs that were believed a moment ago.
type resent struct {
	mu sync.Mutex
	at map[[32]byte]time.Time
}

func (s *resent) knows(proof [32]byte, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.at[proof]
	return ok && now.Sub(at) < resendTime
}

// keep remembers one, and forgets those that are over. Where there are too many it is not
// remembered, and sent again it is asked to sign another challenge.
func (s *resent) keep(proof [32]byte, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.at) >= maxResent {
		for p, at := range s.at {
			if now.Sub(at) >= resendTime {
				delete(s.at, p)
			}
		}
	}
	if s.at == nil {
		s.at = map[[32]byte]time.Time{}
	}
	if len(s.at) < maxResent {
		s.at[proof] = now
	}
}
