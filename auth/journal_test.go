package auth_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

func TestJournal(t *testing.T) {
	j := auth.NewMemoryJournal(nil, nil)
	defer func() { _ = j.Close() }()
	alice := &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}}
	at := time.Unix(1000, 0)
	tell := func(name event.Name, provider, subject, reason, client string) {
		at = at.Add(time.Second)
		j.Hear(t.Context(), event.Event{Name: name, At: at, Provider: provider, Subject: subject, Reason: reason, Origin: event.Origin{Client: client}})
	}
	tell(event.SessionStarted, "local", "alice", "", "192.0.2.1")
	tell(event.SessionRenewed, "local", "alice", "", "192.0.2.1")  // nothing of note
	tell(event.SessionStarted, "other", "alice", "", "192.0.2.9")  // somebody else's
	tell(event.LoginFailed, "local", "", event.BadCredentials, "") // nobody's
	for range 3 {
		tell(event.LoginFailed, "local", "alice", event.BadCredentials, "203.0.113.7")
	}
	own, err := j.Own(t.Context(), alice)
	if err != nil || len(own) != 2 {
		t.Fatalf("got %+v %v, want the sign-in and one line of failures", own, err)
	}
	if e := own[0]; e.Name != event.LoginFailed || e.Count != 3 || e.Origin.Client != "203.0.113.7" || !e.At.Equal(at) || e.Reason != event.BadCredentials {
		t.Errorf("the newest: got %+v", e)
	}
	if own[1].Name != event.SessionStarted || own[1].Count != 1 {
		t.Errorf("the oldest: got %+v", own[1])
	}

	// Strangers who know the name cannot push out what the person has to see.
	for i := range 500 {
		tell(event.LoginFailed, "local", "alice", event.TooMany, fmt.Sprintf("198.51.100.%d", i%250))
		if i%64 == 63 {
			_, _ = j.Own(t.Context(), alice) // so that nothing is lost for want of room
		}
	}
	own, err = j.Own(t.Context(), alice)
	if err != nil || len(own) > 16 || own[len(own)-1].Name != event.SessionStarted {
		t.Errorf("after a flood of failures: got %d events, the oldest %+v, %v; want the sign-in still", len(own), own[len(own)-1], err)
	}
	for range 200 {
		tell(event.SessionStarted, "local", "alice", "", fmt.Sprint(at.Unix()))
	}
	if own, _ = j.Own(t.Context(), alice); len(own) != 50 {
		t.Errorf("got %d events, want the last 50", len(own))
	}
}

// awayShelf is in a store that does not answer.
type awayShelf struct{}

func (awayShelf) Load(ctx context.Context, _ string, _ uint64) ([]byte, uint64, error) {
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

func (awayShelf) Save(ctx context.Context, _ string, _ uint64, _ []byte, _ time.Duration) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func (awayShelf) Now(ctx context.Context) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, ctx.Err()
}

// TestJournalOfAStoreThatIsAway: however many events are queued, neither the end of the gateway
// nor whoever looks at their account waits for each of them.
func TestJournalOfAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		j := auth.NewShelfJournal(awayShelf{}, slog.New(slog.NewTextHandler(&log, nil)))
		for range 100 {
			j.Hear(t.Context(), event.Event{Name: event.SessionStarted, Provider: "local", Subject: "alice"})
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // that of the request
		defer cancel()
		if _, err := j.Own(ctx, &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "alice"}}); err == nil {
			t.Error("got a list from a store that is away")
		}
		_ = j.Close()
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the end took %v", took)
		}
		if !strings.Contains(log.String(), "event=journal.failed lost=") || strings.Count(log.String(), "journal.failed") > 5 {
			t.Errorf("got the log\n%s", log.String())
		}
	})
}

// lateShelf hears of no change itself: what it read once is what it answers.
type lateShelf struct {
	*shelf
	first map[string]copied
}

type copied struct {
	value   []byte
	version uint64
}

func (s lateShelf) Load(ctx context.Context, name string, atLeast uint64) ([]byte, uint64, error) {
	if c, ok := s.first[name]; ok && c.version >= atLeast {
		return c.value, c.version, nil
	}
	value, version, err := s.shelf.Load(ctx, name, atLeast)
	if _, ok := s.first[name]; !ok && err == nil {
		s.first[name] = copied{value, version}
	}
	return value, version, err
}

// TestJournalBehindOldCopies: what happens at once is written down all the same, and shown.
func TestJournalBehindOldCopies(t *testing.T) {
	var log bytes.Buffer
	j := auth.NewShelfJournal(lateShelf{newShelf(time.Now), map[string]copied{}}, slog.New(slog.NewTextHandler(&log, nil)))
	alice := &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}}
	for n := range 4 {
		if own, err := j.Own(t.Context(), alice); err != nil || len(own) != n {
			t.Errorf("got %d events, %v, want %d", len(own), err, n)
		}
		j.Hear(t.Context(), event.Event{Name: event.SessionStarted, At: time.Unix(int64(n), 0), Session: fmt.Sprint(n), Provider: "local", Subject: "alice"})
	}
	if err := j.Close(); err != nil || log.Len() > 0 {
		t.Errorf("got %v and the log\n%s", err, log.String())
	}
}
