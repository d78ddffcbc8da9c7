package session_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
)

// fuzzKey seals what the corpora in testdata/fuzz hold.
const fuzzKey = "evergate-key-1.1700000000.d2hhdCB0aGUgY29ycG9yYSBvZiB0aGUgZnV6eiB0YXJnZXRzIHdlcmUgc2VhbGVkIHdpdGgsIG5vIHNlY3JldA"

func fuzzRing(f *testing.F) *session.Ring {
	f.Helper()
	ring, err := session.NewRing(secret.New(fuzzKey))
	if err != nil {
		f.Fatal(err)
	}
	return ring
}

// FuzzPlantedRecord has a browser come with a whole handle to a session whose record holds
// what it is given: somebody is signed in as whom the record names, or nobody is, and it is
// said in the types there are for it. Also by a handle that is ahead of the record.
func FuzzPlantedRecord(f *testing.F) {
	now := time.Now().UTC().Format(time.RFC3339)
	// A session of generation 1, of two, of none, with a child that is somebody else's.
	const child, other = `[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]`, `[2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]`
	const none = `[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]`
	login := `"login":{"identity":{"Provider":"idp","Subject":"alice","User":"alice"},"token":"a","issued":"NOW","expires":"2100-01-01T00:00:00Z"}`
	for _, families := range []string{
		`{"gw.test":{"g":1,"p":` + none + `,"s":` + child + `,"r":"NOW"}}`, `{"gw.test":{"g":1,"p":` + none + `,"s":` + other + `,"r":"NOW"}}`,
		`{"gw.test":{"g":2,"p":` + child + `,"s":` + none + `,"r":"NOW","m":2,"n":"NOW"}}`, `{"gw.test":{"g":3,"p":` + other + `,"s":` + none + `}}`, `{}`, `null`, `{"other.test":{"g":1}}`,
	} {
		f.Add([]byte(`{"created":"NOW","seen":"NOW","families":`+families+`,`+login+`}`), uint64(1), false)
		f.Add([]byte(`{"created":"NOW","seen":"NOW","families":`+families+`,"home":"other.test","handed":{"gw.test":"NOW"},`+login+`}`), uint64(2), true)
	}
	f.Add([]byte("null"), uint64(1), true)
	f.Add([]byte(`{"retired":true,"replaced":[[]],"floor":9,"bases":{"gw.test":3}}`), uint64(4), true)
	ring := fuzzRing(f)
	f.Fuzz(func(t *testing.T, plain []byte, generation uint64, safe bool) {
		plain = replaceNow(plain, now)
		store := memory.New()
		m, err := session.New(session.Config{Store: store, Ring: ring, Cookie: "c", Methods: map[string]auth.Refresher{"idp": &method{}},
			IdleTimeout: time.Hour, MaxLifetime: 2 * time.Hour, Grace: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		cookie, key, rec := session.Planted(ring, "gw.test", generation, plain)
		rec.Expires = time.Now().Add(time.Hour)
		if err := store.Put(t.Context(), key, 0, rec); err != nil {
			t.Fatal(err)
		}
		verb := http.MethodPost
		if safe {
			verb = http.MethodGet
		}
		r := jar{"c": cookie}.request(verb)
		got, err := m.Authenticate(r)
		absent, isAbsent := errors.AsType[*auth.Absent](err)
		_, isOutage := errors.AsType[*auth.Unavailable](err)
		_, isDetour := errors.AsType[*auth.Detour](err)
		if (err == nil) != (got != nil) || err != nil && !isAbsent && !isOutage && !isDetour {
			t.Fatalf("got %v, %v, want a login or one of the errors that there are", got, err)
		}
		if err != nil {
			if isAbsent && absent.Reason == "" {
				t.Error("nobody is signed in, and it does not say why")
			}
			return
		}
		var said struct {
			Created time.Time
			Login   struct{ Identity auth.Identity }
		}
		if err := json.Unmarshal(plain, &said); err != nil || got.Identity.Subject != said.Login.Identity.Subject || got.Identity.User != said.Login.Identity.User {
			t.Fatalf("got %q, %q signed in by %s", got.Identity.Subject, got.Identity.User, plain)
		}
		if age := time.Since(said.Created); age > 2*time.Hour+time.Minute {
			t.Fatalf("got %q signed in %v after a session that lasts two hours began", got.Identity.User, age)
		}
		h := http.Header{}
		got.Session.Deliver(t.Context(), h)
	})
}

// replaceNow fills in the time of now, so that a corpus stays worth something.
func replaceNow(b []byte, now string) []byte {
	for i := 0; i+3 <= len(b); i++ {
		if string(b[i:i+3]) == "NOW" {
			b = append(append(append([]byte{}, b[:i]...), now...), b[i+3:]...)
		}
	}
	return b
}
