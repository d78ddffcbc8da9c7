package demo

import (
	"fmt"
	"testing"
	"time"
)

func TestLedgerForgetsTheOldest(t *testing.T) {
	clock := time.Unix(1000, 0)
	l := newLedger(func() time.Time { clock = clock.Add(time.Second); return clock })

	var got tally
	for i := range 3 * maxTokens {
		got = l.note("alice", readBearer(fmt.Sprintf("Bearer token-%d", i)))
	}
	if got.TokensSeen != 3*maxTokens || len(got.Tokens) != maxTokens || got.Renewals != 3*maxTokens-1 {
		t.Errorf("alice: got %d seen, %d kept, %d renewals, want %d, %d, %d",
			got.TokensSeen, len(got.Tokens), got.Renewals, 3*maxTokens, maxTokens, 3*maxTokens-1)
	}

	for i := range 3 * maxUsers {
		l.note(fmt.Sprintf("user-%d", i), nil)
		if i == maxUsers/2 {
			l.note("alice", nil) // she comes back, so others go first
		}
		if len(l.users) > maxUsers {
			t.Fatalf("after user %d: got %d users kept, want %d at most", i, len(l.users), maxUsers)
		}
		if i == maxUsers+maxUsers/4 {
			if _, ok := l.users["alice"]; !ok {
				t.Error("alice was forgotten before those who were away for longer")
			}
		}
	}
	if got := l.note("alice", nil); got.Requests != 1 {
		t.Errorf("alice, long away: got request %d, want her forgotten", got.Requests)
	}
	if got := l.note(fmt.Sprintf("user-%d", 3*maxUsers-1), nil); got.Requests != 2 {
		t.Errorf("the last user: got request %d, want 2", got.Requests)
	}
}
