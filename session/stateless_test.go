package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

const chunk = "__Host-Http-evergate"

// strict is a provider whose refresh tokens are good once. One that comes again is
// a failure of the test, and refused.
type strict struct {
	*method
	t     *testing.T
	spent map[string]bool
	pad   string // what the next renewal's claims are as long as
}

func (p *strict) Refresh(ctx context.Context, l *auth.Login, resource string) (*auth.Login, error) {
	sent := l.RefreshToken.Reveal()
	p.mu.Lock()
	reused, pad := p.spent[sent], p.pad
	p.mu.Unlock()
	if reused {
		p.t.Errorf("the spent %s was sent again", sent)
		return nil, &auth.Refused{Reason: "reuse"}
	}
	fresh, err := p.method.Refresh(ctx, l, resource)
	if err == nil {
		p.set(func(m *method) { p.spent[sent] = m.rotates })
		if pad != "" {
			fresh.Identity.Claims = map[string]any{"pad": pad}
		}
	}
	return fresh, err
}

// answerWith makes the claims of renewals to come as long as pad.
func (p *strict) answerWith(pad string) { p.set(func(*method) { p.pad = pad }) }

// gaveBack are the refresh tokens that were revoked.
func (p *strict) gaveBack() (all string) {
	p.set(func(m *method) { all = fmt.Sprint(m.revoked) })
	return all
}

// cookieBed is a Stateless and what is around it.
type cookieBed struct {
	*testing.T
	s        *session.Stateless
	provider *strict
	key      secret.Text
	ring     *session.Ring
	cfg      session.StatelessConfig
	heardOf
}

func (b *cookieBed) start() {
	b.Helper()
	s, err := session.NewStateless(b.cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.s = s
}

// restart is what a crash is: nothing is handed over.
func (b *cookieBed) restart() {
	b.Helper()
	if err := b.s.Close(); err != nil {
		b.Fatal(err)
	}
	b.start()
}

func runCookie(t *testing.T, f func(b *cookieBed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		key := session.NewKey(time.Now())
		ring, err := session.NewRing(key)
		if err != nil {
			t.Fatal(err)
		}
		b := &cookieBed{T: t, key: key, ring: ring, provider: &strict{method: &method{rotates: true}, t: t, spent: map[string]bool{}}}
		b.cfg = session.StatelessConfig{
			Ring: ring, Methods: map[string]auth.Refresher{"idp": b.provider}, Minter: &minter{}, Cookie: chunk,
			IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: grace, MaxStale: 10 * time.Minute,
			Heard: b.hear,
		}
		b.start()
		defer func() {
			if err := b.s.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(b)
	})
}

// noise does not compress, as tokens do not.
func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(session.NewKey(time.Now()).Reveal()[30:])
	}
	return b.String()[:n]
}

func idpLogin(user string) *auth.Login {
	return &auth.Login{AccessToken: token("token-0"), RefreshToken: secret.New("refresh-0-" + user), AuthTime: time.Now(),
		IDToken: secret.New("id-token-" + user), SID: "sid-" + user,
		Identity: auth.Identity{Provider: "idp", Subject: user, User: user}}
}

func (b *cookieBed) begin(j jar, login *auth.Login) {
	b.Helper()
	h := http.Header{}
	if err := b.s.Begin(h, j.request("POST"), login, false); err != nil {
		b.Fatalf("begin: %v", err)
	}
	j.take(h)
}

func (b *cookieBed) signIn() jar {
	b.Helper()
	j := jar{}
	b.begin(j, idpLogin("alice"))
	return j
}

// get is one request of a browser, and the headers of its response.
func (b *cookieBed) get(j jar) (*auth.Login, http.Header, error) {
	login, err := b.s.Authenticate(j.request("GET"))
	h := http.Header{}
	if err == nil {
		login.Session.Deliver(context.Background(), h)
	}
	if absent, ok := errors.AsType[*auth.Absent](err); ok {
		for _, c := range absent.Clear {
			h.Add("Set-Cookie", c.String())
		}
	}
	return login, h, err
}

// mustServe serves a request with the token that is wanted, and keeps its cookies.
func (b *cookieBed) mustServe(j jar, want string) *auth.Login {
	b.Helper()
	login, h, err := b.get(j)
	if err != nil {
		b.Fatalf("got %v, want the request served", err)
	}
	if got := login.AccessToken.Value.Reveal(); got != want {
		b.Errorf("got the access token %q, want %q", got, want)
	}
	j.take(h)
	return login
}

func (b *cookieBed) mustBeAbsent(j jar, reason string) http.Header {
	b.Helper()
	_, h, err := b.get(j)
	if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Reason != reason {
		b.Errorf("got %v, want nobody signed in: %s", err, reason)
	}
	return h
}

func (b *cookieBed) mustBeUnavailable(j jar) *auth.Unavailable {
	b.Helper()
	_, h, err := b.get(j)
	u, ok := errors.AsType[*auth.Unavailable](err)
	if !ok {
		b.Fatalf("got %v, want it unavailable", err)
	}
	if len(h["Set-Cookie"]) > 0 {
		b.Errorf("got the cookies %q, want them left alone", h["Set-Cookie"])
	}
	return u
}

func (b *cookieBed) wantGrants(want int) {
	b.Helper()
	if got := b.provider.calls(); got != want {
		b.Errorf("got %d grants, want %d", got, want)
	}
}

func TestStatelessServes(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		login := b.mustServe(j, "token-0")
		if login.Identity.User != "alice" || login.Session.ID() == "" {
			b.Errorf("got %q in session %q, want alice in one with a name", login.Identity.User, login.Session.ID())
		}
		if ends := login.Session.Times().Ends; !ends.Equal(time.Now().Add(72 * time.Hour)) {
			b.Errorf("ends: got %v, want in 72h", ends)
		}
		if _, h, _ := b.get(j); len(h) > 0 {
			b.Errorf("got %v, want no cookie where nothing changed", h)
		}
		b.wantGrants(0)
	})
}

func TestStatelessStormAtExpiryRenewsOnceAndDeliversToAll(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.slow = 100 * time.Millisecond })
		time.Sleep(life + time.Second)
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				tab := j.clone()
				login, h, err := b.get(tab)
				if err != nil || login.AccessToken.Value.Reveal() != "token-1" {
					b.Errorf("got %v, want served with token-1", err)
					return
				}
				tab.take(h)
				if tab[chunk] == j[chunk] {
					b.Error("got no cookie of its own, want one")
				}
				again, h, err := b.get(tab)
				if err != nil || len(h) > 0 || again.AccessToken.Value.Reveal() != "token-1" {
					b.Errorf("with the new cookie: got %v and %v, want served without another", err, h)
				}
			})
		}
		wg.Wait()
		b.wantGrants(1)
	})
}

func TestStatelessRenewalAheadIsWaitedFor(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.slow = time.Second })
		time.Sleep(8*time.Minute + time.Second)
		before := j[chunk]
		b.mustServe(j, "token-1")
		if j[chunk] == before {
			b.Error("got no cookie with the response that renewed, want one")
		}
	})
}

func TestStatelessSlowProviderIsNotFeltWhileTheTokenIsValid(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.slow = 30 * time.Second })
		time.Sleep(8*time.Minute + time.Second)
		start := time.Now()
		b.mustServe(j, "token-0")
		if took := time.Since(start); took > 5*time.Second {
			b.Errorf("served after %v, want within 5s", took)
		}
		time.Sleep(30 * time.Second)
		before := j[chunk]
		b.mustServe(j, "token-1")
		if j[chunk] == before {
			b.Error("got no cookie after the renewal, want one with the next response")
		}
		b.wantGrants(1)
	})
}

func TestStatelessLostCookieFindsTheSuccessor(t *testing.T) {
	for _, after := range []time.Duration{time.Second, 2 * life, 5 * time.Hour} {
		t.Run(after.String(), func(t *testing.T) {
			runCookie(t, func(b *cookieBed) {
				j := b.signIn()
				time.Sleep(life)
				if _, _, err := b.get(j); err != nil { // its Set-Cookie is lost
					b.Fatal(err)
				}
				time.Sleep(after)
				want := "token-1"
				if after > life {
					want = "token-2"
				}
				b.mustServe(j, want)
				b.mustServe(j, want)
			})
		})
	}
}

func TestStatelessBrowserThatKeepsNoCookieGoesOn(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		for i := range 40 { // more than there is room for in between
			time.Sleep(life)
			if login, _, err := b.get(j); err != nil || login.AccessToken.Value.Reveal() != fmt.Sprintf("token-%d", i+1) {
				b.Fatalf("renewal %d: got %v, want served", i+1, err)
			}
		}
		time.Sleep(time.Hour) // its tokens are forgotten meanwhile
		b.mustServe(j, "token-41")
	})
}

func TestStatelessLateRequestIsServed(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		late := j.clone()
		time.Sleep(life)
		b.mustServe(j, "token-1")
		b.mustServe(j, "token-1") // the successor is seen
		time.Sleep(9 * time.Minute)
		b.mustServe(j, "token-2")
		before := late[chunk]
		b.mustServe(late, "token-2")
		if late[chunk] == before {
			b.Error("got no cookie for the late request, want the newest")
		}
		b.mustServe(late, "token-2")
		b.wantGrants(2)
	})
}

func TestStatelessSpentCookieIsNotServedForEver(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		copied := j.clone()
		time.Sleep(life)
		n := 1
		for range 6 {
			b.mustServe(j, fmt.Sprintf("token-%d", n))
			time.Sleep(5 * time.Minute)
			b.mustServe(j, fmt.Sprintf("token-%d", n))
			time.Sleep(5 * time.Minute)
			n++
		}
		if h := b.mustBeAbsent(copied, auth.Ended); len(h) > 0 {
			b.Errorf("got %v, want the jar left alone: it may hold a newer cookie", h)
		}
		time.Sleep(3 * time.Hour) // the tokens are forgotten, what is spent is not
		b.mustBeAbsent(copied, auth.Ended)
		b.mustServe(j, fmt.Sprintf("token-%d", n))
	})
}

func TestStatelessRestartRenewsOnce(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.mustServe(j, "token-0")
		b.restart()
		b.provider.set(func(m *method) { m.slow = time.Second })
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				tab := j.clone()
				login, h, err := b.get(tab)
				if err != nil || login.Identity.User != "alice" || len(h) == 0 {
					b.Errorf("got %v, %v, want alice served with a cookie", err, h)
				}
			})
		}
		wg.Wait()
		b.wantGrants(1)
		b.mustServe(j, "token-1")
		b.restart()
		b.mustServe(j, "token-2")
	})
}

func TestStatelessLateRequestAfterARestartEndsNothingNewer(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		late := j.clone()
		time.Sleep(life)
		b.mustServe(j, "token-1")
		b.restart()
		b.provider.set(func(m *method) { m.err = &auth.Refused{Reason: "spent"}; clear(b.provider.spent) })
		b.mustBeAbsent(late, auth.Withdrawn) // nobody here knows that its token is spent
		b.provider.set(func(m *method) { m.err = nil })
		b.mustServe(j, "token-3")
	})
}

func TestStatelessProviderThatRotatesNothingSetsNoCookie(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		b.provider.rotates = false
		j := b.signIn()
		time.Sleep(life)
		if login, h, err := b.get(j); err != nil || login.AccessToken.Value.Reveal() != "token-1" || len(h) > 0 {
			b.Errorf("got %v and %v, want token-1 and no cookie", err, h)
		}
		b.provider.set(func(m *method) { m.groups = []string{"staff"} })
		time.Sleep(life)
		old := j.clone()
		if login := b.mustServe(j, "token-2"); len(login.Identity.Groups) != 1 || j[chunk] == old[chunk] {
			b.Errorf("got groups %q and cookie changed %v, want staff in a new cookie", login.Identity.Groups, j[chunk] != old[chunk])
		}
		if login := b.mustServe(old, "token-2"); len(login.Identity.Groups) != 1 {
			b.Errorf("with the cookie before: got groups %q, want those of now", login.Identity.Groups)
		}
	})
}

func TestStatelessHangUpDoesNotStopARenewal(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.slow = 2 * time.Second })
		time.Sleep(life + time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := b.s.Authenticate(j.request("GET").WithContext(ctx)); err == nil {
			b.Error("got the request served, want it to end with its context")
		}
		time.Sleep(2 * time.Second)
		b.mustServe(j, "token-1")
		b.wantGrants(1)
	})
}

func TestStatelessOutageKeepsTheSession(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.err = &auth.Unavailable{What: "the provider"} })
		time.Sleep(life - time.Minute - time.Second)
		for range 20 {
			b.mustServe(j, "token-0") // the token is still good
		}
		b.wantGrants(1)
		time.Sleep(2 * time.Hour)
		if u := b.mustBeUnavailable(j); u.RetryAfter <= 0 {
			b.Error("got no time to come again, want one")
		}
		n := b.provider.calls()
		for range 20 {
			b.mustBeUnavailable(j)
		}
		b.wantGrants(n)
		b.restart()
		b.mustBeUnavailable(j)
		b.provider.set(func(m *method) { m.err = nil; m.renewed = 0 })
		time.Sleep(time.Minute)
		b.mustServe(j, "token-1")
	})
}

func TestStatelessUnclearFailureAsksForSignInAfterMaxStale(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.err = errors.New("unauthorized_client") })
		time.Sleep(life + time.Second)
		b.mustBeUnavailable(j)
		time.Sleep(12 * time.Minute)
		b.mustBeAbsent(j, auth.Stale)
	})
}

func TestStatelessRefusedRenewalEnds(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.err = &auth.Refused{Reason: "invalid_grant", Code: "invalid_grant"} })
		time.Sleep(life)
		b.mustBeAbsent(j, auth.Withdrawn)
		b.provider.set(func(m *method) { m.err = nil })
		b.mustBeAbsent(j, auth.Withdrawn)
		b.wantGrants(1)
	})
}

func TestStatelessOtherSubjectEnds(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.subject = "mallory" })
		time.Sleep(life)
		b.mustBeAbsent(j, auth.Withdrawn)
		time.Sleep(time.Second)
		if got := b.provider.gaveBack(); got != "[refresh-1]" {
			b.Errorf("revoked %s, want [refresh-1]", got)
		}
	})
}

func TestStatelessWithdrawnByCheck(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.check = &auth.Refused{Reason: "disabled"} })
		b.mustBeAbsent(j, auth.Withdrawn)
	})
}

func TestStatelessSpentCookieDoesNotKeepItselfAlive(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		b.cfg.Grace = 5 * time.Minute // kept for 50 minutes of use
		b.restart()
		j := b.signIn()
		copied := j.clone()
		for i := range 9 {
			time.Sleep(life)
			b.mustServe(j, fmt.Sprintf("token-%d", i+1))
			b.mustServe(j, fmt.Sprintf("token-%d", i+1))
			_, _, err := b.get(copied)
			if served := err == nil; served != (i < 5) {
				b.Errorf("after %d0m: got %v, want it served for 50 minutes of the new one's use", i+1, err)
			}
		}
	})
}
