package token_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/token"
)

const (
	day = 24 * time.Hour
	// term is how long a key signs in these tests.
	term = 3 * day
)

var errAway = errors.New("the shelf is away")

// shelf keeps a value in memory. Its zero value is empty and within reach.
type shelf struct {
	mu      sync.Mutex // guards all
	value   []byte
	version uint64
	err     error         // what Load and Save fail with
	ahead   time.Duration // of the gateways' clock
	saves   int
	meet    *sync.WaitGroup // the first of several Loads waits for the others
}

func (s *shelf) Load(ctx context.Context, _ uint64) ([]byte, uint64, error) {
	s.mu.Lock()
	value, version, err, meet := bytes.Clone(s.value), s.version, s.err, s.meet
	s.mu.Unlock()
	if meet != nil && version == 0 {
		meet.Done()
		meet.Wait()
	}
	return value, version, errors.Join(err, ctx.Err())
}

func (s *shelf) Save(ctx context.Context, prev uint64, value []byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return false, err
	}
	if prev != s.version {
		return false, nil
	}
	s.value, s.version, s.saves = bytes.Clone(value), prev+1, s.saves+1
	return true, nil
}

func (s *shelf) Now(context.Context) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead), nil
}

func (s *shelf) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// gateway signs with the keys of a shelf.
type gateway struct {
	*token.Issuer
	keys *token.Keys
	log  *bytes.Buffer // complete once keys is closed
}

type options struct {
	algorithm string
	every     time.Duration
	ahead     time.Duration // of its clock
	dir       string
}

func start(t *testing.T, s token.Shelf, o options) gateway {
	t.Helper()
	if o.algorithm == "" {
		o.algorithm = token.ES256
	}
	g := gateway{log: &bytes.Buffer{}}
	var err error
	g.keys, err = token.ShareKeys(token.Sharing{Shelf: s, Algorithm: o.algorithm, Every: o.every, Import: o.dir,
		Log: slog.New(slog.NewTextHandler(g.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.keys.Close() })
	g.Issuer, err = token.NewIssuer(token.Config{Issuer: "https://gw.test/.evergate", Audience: "evergate", TTL: token.MaxTTL, Keys: g.keys,
		Now: func() time.Time { return time.Now().Add(o.ahead) }})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// kid is that of the key that signs.
func (g gateway) kid(t *testing.T) string {
	t.Helper()
	return kidOf(t, mint(t, g.Issuer))
}

func kidOf(t *testing.T, raw string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(raw, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header["kid"].(string)
}

// kids are those that are published, the newest first.
func (g gateway) kids(t *testing.T) (kids []string) {
	t.Helper()
	var doc struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(g.keys.JWKS(), &doc); err != nil {
		t.Fatalf("%q: %v", g.keys.JWKS(), err)
	}
	for _, k := range doc.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

// TestNextKeyIsPublishedAnHourBeforeItSigns follows two gateways, whose clocks are a
// minute from the shelf's and two from each other, and somebody who verifies and reads
// the keys once an hour, over four terms.
func TestNextKeyIsPublishedAnHourBeforeItSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		gateways := []gateway{
			start(t, s, options{every: term, ahead: time.Minute}),
			start(t, s, options{every: term, ahead: -time.Minute}),
		}
		published := map[string]time.Time{} // at all of them
		signed := map[string]time.Time{}    // by any of them
		last := map[string]time.Time{}
		for begin := time.Now(); time.Since(begin) < 4*term; time.Sleep(9 * time.Minute) {
			for _, kid := range gateways[0].kids(t) {
				if _, ok := published[kid]; !ok && strings.Contains(string(gateways[1].keys.JWKS()), kid) {
					published[kid] = time.Now()
				}
			}
			for _, g := range gateways {
				kid := g.kid(t)
				if _, ok := signed[kid]; !ok {
					signed[kid] = time.Now()
				}
				last[kid] = time.Now()
			}
			for kid, at := range last {
				if time.Since(at) <= token.MaxTTL+time.Minute && !(strings.Contains(string(gateways[0].keys.JWKS()), kid) && strings.Contains(string(gateways[1].keys.JWKS()), kid)) {
					t.Fatalf("%s is not published any more, %v after it signed last", kid, time.Since(at))
				}
			}
		}
		if len(signed) != 4 && len(signed) != 5 {
			t.Errorf("in four terms %d keys signed, want one each", len(signed))
		}
		first := 0
		for kid, at := range signed {
			if lead := at.Sub(published[kid]); lead == 0 {
				first++
			} else if lead < time.Hour {
				t.Errorf("a key was published %v before it signed, want an hour", lead)
			}
		}
		if first != 1 {
			t.Errorf("%d keys signed as soon as they were published, want the first alone", first)
		}
		if n := len(gateways[0].kids(t)); n > 2 {
			t.Errorf("after four terms %d keys are published, want old ones dropped", n)
		}
		if s.saves > 2*len(signed)+2 {
			t.Errorf("the shelf was written %d times for %d keys", s.saves, len(signed))
		}
	})
}

func TestGatewaysThatStartTogetherAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{meet: &sync.WaitGroup{}}
		const n = 4
		s.meet.Add(n)
		all := make([]gateway, n)
		var wg sync.WaitGroup
		for i := range all {
			wg.Go(func() { all[i] = start(t, s, options{every: term}) })
		}
		wg.Wait()
		for _, g := range all {
			if got, want := string(g.keys.JWKS()), string(all[0].keys.JWKS()); got != want || len(g.kids(t)) != 1 {
				t.Errorf("got keys %s, want the one of the others %s", got, want)
			}
		}
		if s.saves != 1 {
			t.Errorf("got %d first keys, want 1", s.saves)
		}
	})
}

func TestGatewayThatWasStoppedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		g := start(t, s, options{every: term})
		old := g.kid(t)
		g.keys.Close()
		time.Sleep(6 * term)
		g = start(t, s, options{every: term})
		if got := g.kid(t); got != old || len(g.kids(t)) != 2 {
			t.Errorf("at start: signed with %s of %v, want %s, and the next one published", got, g.kids(t), old)
		}
		time.Sleep(time.Hour)
		if got := g.kid(t); got != old {
			t.Error("the next one signs within an hour")
		}
		time.Sleep(time.Hour)
		if got := g.kid(t); got == old {
			t.Error("the next one does not sign after two hours")
		}
		time.Sleep(2 * day)
		if len(g.kids(t)) != 1 {
			t.Errorf("two days later: got %v, want the old one dropped", g.kids(t))
		}
	})
}

func TestShelfIsAwayAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{err: errAway}
		begin := time.Now()
		g := start(t, s, options{every: term})
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the start took %v", took)
		}
		for range 2 {
			_, err := g.Mint(t.Context(), alice, "")
			if u, ok := errors.AsType[*auth.Unavailable](err); !ok || u.RetryAfter <= 0 {
				t.Errorf("mint: got %v, want an Unavailable that says when to try again", err)
			}
			if _, err := g.Verify(t.Context(), "a.b.c", ""); !errors.As(err, new(*auth.Unavailable)) || errors.Is(err, token.ErrToken) {
				t.Errorf("verify: got %v, want Unavailable", err)
			}
			rec := httptest.NewRecorder()
			g.Handlers()["jwks.json"].ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
			if rec.Code != 503 || rec.Header().Get("Retry-After") != "1" || rec.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("jwks.json: got %d %v, want 503 with Retry-After", rec.Code, rec.Header())
			}
			time.Sleep(time.Hour)
		}
		s.set(func() { s.err = nil })
		time.Sleep(1001 * time.Millisecond)
		g.kid(t)
		g.keys.Close()
		if n := strings.Count(g.log.String(), "signing_keys.away"); n != 1 {
			t.Errorf("an outage was logged %d times, want once", n)
		}
	})
}

// TestShelfThatConnectsLateIsNoOutage: a store that connects in the background fails at once.
func TestShelfThatConnectsLateIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{err: errAway}
		time.AfterFunc(time.Second, func() { s.set(func() { s.err = nil }) })
		g := start(t, s, options{})
		g.kid(t)
		g.keys.Close()
		if strings.Contains(g.log.String(), "away") {
			t.Errorf("got log %s, want no outage in it", g.log)
		}
	})
}

func TestShelfIsAwayLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		g := start(t, s, options{every: term})
		before := mint(t, g.Issuer)
		s.set(func() { s.err = errAway })
		time.Sleep(3 * term)
		if kidOf(t, before) != g.kid(t) {
			t.Error("another key signs during an outage")
		}
		s.set(func() { s.err = nil })
		time.Sleep(3 * time.Hour)
		if kidOf(t, before) == g.kid(t) {
			t.Error("no rotation once the shelf is back")
		}
	})
}

// TestShelfThatLostTheKeysGetsThemBack: what was signed with them is valid still.
func TestShelfThatLostTheKeysGetsThemBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		g := start(t, s, options{every: term})
		kid := g.kid(t)
		s.set(func() { s.value, s.version = nil, 0 })
		time.Sleep(2 * time.Minute)
		other := start(t, s, options{every: term})
		if g.kid(t) != kid || other.kid(t) != kid {
			t.Errorf("got %s and %s, want %s", g.kid(t), other.kid(t), kid)
		}
	})
}

// TestWhatCannotBeReadIsNotWrittenOver: an unknown key of the ring, a later format,
// damage. Another gateway may well read it.
func TestWhatCannotBeReadIsNotWrittenOver(t *testing.T) {
	for name, value := range map[string]string{
		"a later format": `{"format":2,"keys":[]}`, "no document": "x", "a damaged key": `{"format":1,"keys":[{"pkcs8":"AAAA"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shelf{value: []byte(value), version: 7}
				g := start(t, s, options{})
				time.Sleep(time.Hour)
				if _, err := g.Mint(t.Context(), alice, ""); !errors.As(err, new(*auth.Unavailable)) {
					t.Errorf("mint: got %v, want Unavailable", err)
				}
				if s.saves != 0 {
					t.Error("it was written over")
				}
			})
		})
	}
}

func TestAnotherAlgorithmSignsAtOnceAndTheOldKeyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		old := start(t, s, options{every: term})
		before := mint(t, old.Issuer)
		fresh := start(t, s, options{every: term, algorithm: token.EdDSA})
		if fresh.kid(t) == kidOf(t, before) {
			t.Error("the old algorithm signs")
		}
		if _, err := fresh.Verify(t.Context(), before, ""); err != nil {
			t.Errorf("what the old key signed: %v", err)
		}
		// As long as gateways of both configs run, both have their key.
		time.Sleep(3*term + term/2) // what was replaced is gone, what is next not there yet
		if len(old.kids(t)) != 2 || old.kid(t) == fresh.kid(t) {
			t.Errorf("of two algorithms: got keys %v", old.kids(t))
		}
		old.keys.Close()
		time.Sleep(3 * term)
		if len(fresh.kids(t)) != 1 {
			t.Errorf("long after the last one of the old config: got %v, want its key dropped", fresh.kids(t))
		}
	})
}

// TestClocksThatJump: a wrong clock of a gateway rotates nothing for the others, and
// one of the shelf leaves a key to sign with.
func TestClocksThatJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		g := start(t, s, options{every: 10 * term})
		kid := g.kid(t)
		for _, ahead := range []time.Duration{100 * term, -100 * term} {
			wrong := start(t, s, options{every: 10 * term, ahead: ahead})
			time.Sleep(2 * day)
			if g.kid(t) != kid || wrong.kid(t) != kid || len(g.kids(t)) != 1 {
				t.Errorf("with a gateway %v ahead: got %s of %v, want %s alone", ahead, g.kid(t), g.kids(t), kid)
			}
		}
		for _, ahead := range []time.Duration{100 * term, -100 * term, 0} {
			s.set(func() { s.ahead = ahead })
			for range 4 {
				time.Sleep(day)
				g.kid(t)
			}
		}
	})
}

func TestZeroNeverRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, &shelf{}, options{})
		kid := g.kid(t)
		time.Sleep(8 * term)
		if g.kid(t) != kid || len(g.kids(t)) != 1 {
			t.Errorf("got %v, want the first key alone", g.kids(t))
		}
	})
}

func TestFilesOfBeforeAreTakenOver(t *testing.T) {
	dir := t.TempDir()
	files, err := token.OpenKeys(dir, token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.Rotate(); err != nil {
		t.Fatal(err)
	}
	before, err := token.NewIssuer(token.Config{Issuer: "https://gw.test/.evergate", Audience: "evergate", TTL: time.Hour, Keys: files})
	if err != nil {
		t.Fatal(err)
	}
	raw := mint(t, before)
	// A file of a clock that was ahead signs now, as it did before.
	if err := os.Chtimes(filepath.Join(dir, kidOf(t, raw)+".pem"), time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	s := &shelf{}
	g := start(t, s, options{dir: dir, every: term})
	if _, err := g.Verify(t.Context(), raw, ""); err != nil {
		t.Errorf("a token of before: %v", err)
	}
	if g.kid(t) != kidOf(t, raw) || len(g.kids(t)) != 2 {
		t.Errorf("got %s of %v, want %s, and the other one to verify", g.kid(t), g.kids(t), kidOf(t, raw))
	}
	g.keys.Close()
	if !strings.Contains(g.log.String(), "may be deleted") || !strings.Contains(g.log.String(), dir) {
		t.Errorf("got log %s, want that the files may be deleted", g.log)
	}
	// The shelf has keys now, and is believed.
	again := start(t, s, options{dir: dir, every: term})
	if string(again.keys.JWKS()) != string(g.keys.JWKS()) {
		t.Errorf("a second start: got %s, want %s", again.keys.JWKS(), g.keys.JWKS())
	}
	again.keys.Close()
	if again.log.Len() != 0 {
		t.Errorf("a second start: got log %s", again.log)
	}

	if err := os.WriteFile(filepath.Join(dir, "bad.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token.ShareKeys(token.Sharing{Shelf: &shelf{}, Algorithm: token.ES256, Import: dir}); err == nil || !strings.Contains(err.Error(), "bad.pem") {
		t.Errorf("a damaged file: got %v, want it named", err)
	}
}
