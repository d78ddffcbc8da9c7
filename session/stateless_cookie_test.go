package session_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// large is a login whose claims take about n bytes of cookie.
func large(user string, n int) *auth.Login {
	login := idpLogin(user)
	login.Identity.Claims = map[string]any{"pad": noise(n)}
	return login
}

func TestStatelessChunks(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		h := http.Header{}
		login := large("alice", 6000)
		if err := b.s.Begin(h, jar{}.request("POST"), login, true); err != nil {
			b.Fatal(err)
		}
		for _, line := range h["Set-Cookie"] {
			if len(line) > 4096 {
				b.Errorf("got a line of %d bytes, want at most 4096", len(line))
			}
			for _, attribute := range []string{"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
				if !strings.Contains(line, "; "+attribute) {
					b.Errorf("got %.60s… without %s, want it", line, attribute)
				}
			}
		}
		j := jar{}
		j.take(h)
		if names := slices.Sorted(maps.Keys(j)); fmt.Sprint(names) != fmt.Sprint([]string{chunk, chunk + "-1", chunk + "-2"}) {
			b.Errorf("got the cookies %q, want three", names)
		}
		if got := b.mustServe(j, "token-0").Identity.Claims["pad"]; got != login.Identity.Claims["pad"] {
			b.Error("the claims are not those of the sign-in")
		}
		b.restart()
		b.provider.set(func(m *method) { m.rotates = false })
		if got := b.mustServe(j, "token-1").Identity.Claims["pad"]; got != login.Identity.Claims["pad"] {
			b.Error("after a restart the claims are not those of the sign-in")
		}
	})
}

func TestStatelessChunksThatDoNotBelongTogetherAreRefused(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		alice, bob, small := jar{}, jar{}, jar{}
		b.begin(alice, large("alice", 6000))
		b.begin(bob, large("bob", 6000))
		b.begin(small, large("alice", 1500))
		older := alice.clone()
		b.provider.answerWith(noise(6000))
		time.Sleep(life)
		_, h, err := b.get(alice)
		if err != nil {
			b.Fatal(err)
		}
		alice.take(h)
		with := func(j jar, change func(jar)) jar {
			j = j.clone()
			change(j)
			return j
		}
		for name, j := range map[string]jar{
			"first of the generation before": with(alice, func(j jar) { j[chunk] = older[chunk] }),
			"last of the generation before":  with(alice, func(j jar) { j[chunk+"-2"] = older[chunk+"-2"] }),
			"first of another session":       with(alice, func(j jar) { j[chunk] = bob[chunk] }),
			"last of another session":        with(alice, func(j jar) { j[chunk+"-2"] = bob[chunk+"-2"] }),
			"first missing":                  with(alice, func(j jar) { delete(j, chunk) }),
			"middle missing":                 with(alice, func(j jar) { delete(j, chunk+"-1") }),
			"last missing":                   with(alice, func(j jar) { delete(j, chunk+"-2") }),
			"two swapped":                    with(alice, func(j jar) { j[chunk+"-1"], j[chunk+"-2"] = j[chunk+"-2"], j[chunk+"-1"] }),
			"one twice":                      with(alice, func(j jar) { j[chunk+"-2"] = j[chunk+"-1"] }),
			"a stale tail":                   with(small, func(j jar) { j[chunk+"-1"] = alice[chunk+"-1"] }),
			"a tail further on":              with(alice, func(j jar) { j[chunk+"-5"] = j[chunk+"-2"] }),
			"a damaged tail":                 with(alice, func(j jar) { j[chunk+"-1"] = flip(j[chunk+"-1"]) }),
			"an empty tail":                  with(alice, func(j jar) { j[chunk+"-3"] = "" }),
		} {
			h := b.mustBeAbsent(j, auth.Damaged)
			if j.take(h); len(j) > 0 {
				b.Errorf("%s: got %q left in the jar, want it clean", name, slices.Collect(maps.Keys(j)))
			}
		}
		b.mustServe(alice, "token-1")
	})
}

func flip(value string) string {
	b := []byte(value)
	i := len(b) / 2
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func TestStatelessEveryFlippedByteIsRefused(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		value := j[chunk]
		for i := range value {
			bad := []byte(value)
			bad[i] ^= 1
			_, _, err := b.get(jar{chunk: string(bad)})
			if !errors.Is(err, auth.ErrAnonymous) {
				b.Fatalf("byte %d: got %v, want nobody", i, err)
			}
			if _, _, err := b.get(jar{chunk: value[:i]}); !errors.Is(err, auth.ErrAnonymous) {
				b.Fatalf("cut at %d: got %v, want nobody", i, err)
			}
		}
	})
}

func TestStatelessDuplicateCookieIsRefused(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := jar{}
		b.begin(j, large("alice", 3000))
		for _, name := range []string{chunk, chunk + "-1"} {
			r := j.request("GET")
			r.AddCookie(&http.Cookie{Name: name, Value: "planted"})
			_, err := b.s.Authenticate(r)
			if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Reason != auth.Duplicate || len(absent.Clear) != 2 {
				b.Errorf("%s twice: got %v, want it refused and both cleared", name, err)
			}
		}
	})
}

func TestStatelessCookieOfAnotherHostOrPurposeIsRefused(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		r := httptest.NewRequest("GET", "https://other.test/", nil)
		r.AddCookie(&http.Cookie{Name: chunk, Value: j[chunk]})
		if _, err := b.s.Authenticate(r); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("at another host: got %v, want nobody", err)
		}
		sealed, err := b.ring.Seal("handle", "gw.test", make([]byte, 100), 0)
		if err != nil {
			b.Fatal(err)
		}
		b.mustBeAbsent(jar{chunk: sealed}, auth.Damaged)
	})
}

func TestStatelessUnknownKeyIsAnOutage(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		kept := b.cfg.Ring
		foreign, err := session.NewRing(session.NewKey(time.Now()))
		if err != nil {
			b.Fatal(err)
		}
		b.cfg.Ring = foreign
		b.restart()
		b.mustBeUnavailable(j)
		h := http.Header{}
		if _, err := b.s.End(h, j.request("POST")); err == nil || len(h) > 0 {
			b.Errorf("sign-out: got %v and %v, want it to fail and no cookie", err, h)
		}
		b.cfg.Ring = kept
		b.restart()
		b.mustServe(j, "token-1")
	})
}

func TestStatelessTooLargeSaysSizeAndRemedy(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		for _, n := range []int{20_000, 300_000} {
			h := http.Header{}
			login := large("alice", n)
			login.Identity.Claims["zeros"] = strings.Repeat("0", n)
			err := b.s.Begin(h, jar{}.request("POST"), login, false)
			tooLarge, ok := errors.AsType[*session.TooLarge](err)
			if !ok || tooLarge.Size < n/2 || len(h) > 0 {
				b.Fatalf("got %v and %v, want it refused as too large, and no cookie", err, h)
			}
			for _, want := range []string{"bytes", "fewer scopes", "session.store to bolt"} {
				if !strings.Contains(err.Error(), want) && !strings.Contains(tooLarge.Error(), want) {
					b.Errorf("got %q, want %q in it", tooLarge, want)
				}
			}
		}
		time.Sleep(time.Second)
		if got := b.provider.gaveBack(); got != "[refresh-0-alice refresh-0-alice]" {
			b.Errorf("revoked %s, want what nobody can use", got)
		}
	})
}

func TestStatelessIDTokenIsLeftOutOnlyWhereNobodyNeedsIt(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		login := idpLogin("alice")
		login.IDToken = secret.New(noise(20_000))
		j := jar{}
		b.begin(j, login)
		if login := b.mustServe(j, "token-0"); login.IDToken.IsZero() {
			b.Error("got no ID token, want it from memory")
		}
		b.restart()
		if login := b.mustServe(j, "token-1"); !login.IDToken.IsZero() {
			b.Error("got an ID token after a restart, want none")
		}
		b.cfg.NeedIDToken = true
		b.restart()
		err := b.s.Begin(http.Header{}, jar{}.request("POST"), login, false)
		if _, ok := errors.AsType[*session.TooLarge](err); !ok {
			b.Errorf("got %v, want it refused where a route needs the ID token", err)
		}
	})
}

func TestStatelessSmallerSetDeletesWhatIsOver(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := jar{}
		b.begin(j, large("alice", 6000))
		overtaken, err := b.s.Authenticate(j.request("GET"))
		if err != nil {
			b.Fatal(err)
		}
		b.provider.answerWith("short")
		time.Sleep(life)
		if _, h, err := b.get(j); err != nil {
			b.Fatal(err)
		} else if j.take(h); len(j) != 1 {
			b.Errorf("got %d cookies, want one", len(j))
		}
		b.provider.answerWith(noise(4000))
		time.Sleep(life)
		_, h, err := b.get(j)
		if err != nil {
			b.Fatal(err)
		}
		b.provider.answerWith("short")
		time.Sleep(life)
		b.mustServe(j.clone(), "token-3")
		late := http.Header{}
		overtaken.Session.Deliver(b.Context(), late)
		j.take(h)    // two chunks, just before
		j.take(late) // one chunk, for a request that never brought two
		b.mustServe(j, "token-3")
	})
}

func TestStatelessGrownSessionLivesOnInMemory(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		for i, n := range []int{20_000, 300_000, 20_000} {
			b.provider.answerWith(noise(n))
			time.Sleep(life)
			if _, h, err := b.get(j); err != nil || len(h) > 0 {
				b.Fatalf("renewal %d: got %v and %v, want served from memory", i, err, h)
			}
		}
		time.Sleep(5 * time.Hour)
		b.provider.answerWith("short")
		b.mustServe(j, "token-4")
		b.restart()
		b.mustServe(j, "token-5")
	})
}

func TestStatelessBombIsBounded(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		login := idpLogin("alice")
		login.Identity.Claims = map[string]any{"zeros": strings.Repeat("0", 1<<20)}
		err := b.s.Begin(http.Header{}, jar{}.request("POST"), login, false)
		if _, ok := errors.AsType[*session.TooLarge](err); !ok {
			b.Errorf("got %v, want no cookie made that nobody opens", err)
		}
	})
}
