package auth_test

import (
	"fmt"
	"testing"
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
