package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

const (
	purposeBound     = "bound"
	purposeChallenge = "bind"
	boundSuffix      = "-bound"
	// defaultBoundFor is the BoundFor of Settings that have none. A browser proves its key
	// anew before that, and has a quota for it.
	defaultBoundFor = 10 * time.Minute
	// bindWithin is for how long after the sign-in, or after the hand-over to a host, a session
	// may be bound there. Browsers do it at once; some ask a chip that takes half a second.
	bindWithin = time.Minute
	// challengeTTL is the draft's advice.
	challengeTTL = 5 * time.Minute
	// maxMisses is how often a bound session may be asked for without its bound cookie, at
	// moments that lie missEvery apart and with no proof in between, before it ends.
	maxMisses = 5
	missEvery = 10 * time.Second
)

// binding is the key that a session is bound to on one host. It is a value that is replaced.
type binding struct {
	ID  bindingID `json:"id"`
	Key string    `json:"key"`
	// At is when it was bound, by the store's clock; by this machine's where there is no store.
	At time.Time `json:"at"`
}

// bindingID tells the bindings of a session apart.
type bindingID [8]byte

func (id bindingID) String() string { return hex.EncodeToString(id[:]) }

func newBinding(key string, now time.Time) binding {
	b := binding{Key: key, At: now}
	_, _ = rand.Read(b.ID[:]) // never fails (crypto/rand)
	return b
}

// settling reports whether b is so fresh that what was on its way when the session was bound
// is served. A clock that was set back by a lot says nothing of that.
func (b binding) settling(now time.Time, grace time.Duration) bool {
	since := now.Sub(b.At)
	return since < grace && since > -skewLeeway
}

// proven is what a bound cookie says: that whoever holds the key of that binding had it.
type proven struct {
	session Key
	id      bindingID
}

func (p proven) encode() []byte { return append(append([]byte{}, p.session[:]...), p.id[:]...) }

func decodeProven(plain []byte) (p proven, ok bool) {
	if len(plain) != len(p.session)+len(p.id) {
		return p, false
	}
	return proven{Key(plain[:len(p.session)]), bindingID(plain[len(p.session):])}, true
}

var (
	errChallenge = &auth.Refused{Reason: "the challenge is over, or of another session"}
	errBound     = &auth.Refused{Reason: "the session is bound to a key already, or it is too long since it began to bind it"}
)

// proofs are the challenges and the bound cookies by which browsers prove the keys that their
// sessions are bound to, wherever those sessions lie.
type proofs struct {
	ring  *Ring
	name  string // of the bound cookie
	baker baker
	set   func() *Settings
	now   func() time.Time
	known verdicts[knownProof]
}

func newProofs(ring *Ring, cookie string, insecure bool, set func() *Settings, now func() time.Time) proofs {
	return proofs{ring: ring, name: BoundCookieName(cookie), baker: baker{insecure}, set: set, now: now, known: newVerdicts[knownProof](maxVerdicts)}
}

// knownProof is what a bound cookie says, and until when.
type knownProof struct {
	proven
	until time.Time
}

// shown is b as browsers are told of it.
func (p *proofs) shown(b binding) auth.Binding {
	if b.Key == "" {
		return auth.Binding{}
	}
	_, attributes, _ := strings.Cut(p.baker.cookie(p.name, "x").String(), "; ")
	return auth.Binding{ID: b.ID.String(), Key: b.Key, Cookie: p.name, Attributes: attributes}
}

// challenge is a sealed value, so that nothing has to be kept for browsers that never answer.
func (p *proofs) challenge(session Key, host string) (string, error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	sealed, err := p.ring.Seal(purposeChallenge, host, append(session[:], nonce[:]...), challengeTTL)
	if err != nil {
		return "", &auth.Unavailable{What: "the proof of this device", Err: err}
	}
	return sealed, nil
}

// isChallenge reports whether a value is a challenge for the session on host.
func (p *proofs) isChallenge(session Key, host, value string) bool {
	plain, err := p.ring.Open(purposeChallenge, host, value)
	return err == nil && len(plain) == len(session)+16 && bytes.Equal(plain[:len(session)], session[:])
}

// cookie is a bound cookie that says so.
func (p *proofs) cookie(says proven, host string) (*http.Cookie, error) {
	set := p.set()
	// It is taken for longer than it is kept: a request may be on its way when its browser
	// drops it.
	value, err := p.ring.Seal(purposeBound, host, says.encode(), set.BoundFor+set.Grace)
	if err != nil {
		return nil, &auth.Unavailable{What: "the proof of this device", Err: err}
	}
	c := p.baker.cookie(p.name, value)
	c.MaxAge = int(set.BoundFor / time.Second)
	return c, nil
}

// holds reports whether r proves b, if that is a key. What was on its way when the session was
// bound may not have the proof. Now is by the clock of b.
func (p *proofs) holds(r *http.Request, session Key, host string, b binding, now time.Time) bool {
	return b.Key == "" || b.settling(now, p.set().Grace) || p.proves(r, host, proven{session, b.ID})
}

// proves reports whether one of the bound cookies that r brings says so. Somebody may have
// planted another beside it, which proves nothing and hides nothing.
func (p *proofs) proves(r *http.Request, host string, want proven) bool {
	if value, _ := cookiesOf(r, p.name, ""); value != "" {
		if known, ok := p.known.find(p.ring, host, value); ok {
			return known.proven == want && p.now().Before(known.until)
		}
	}
	for _, c := range r.CookiesNamed(p.name) {
		keys := p.ring.keys.Load()
		plain, until, err := p.ring.openUntil(purposeBound, host, c.Value)
		if err != nil {
			continue
		}
		if says, ok := decodeProven(plain); ok && says == want {
			p.known.keep(keys, knownProof{says, until}, host, c.Value)
			return true
		}
	}
	return false
}

// missing is how often a bound session was asked for without the proof.
type missing struct {
	times int
	last  time.Time
}

// miss counts a request without the proof, if it counts. It returns how many there were, and
// whether this one is to be told of.
func (m *missing) miss(now time.Time, counts bool) (times int, news bool) {
	if counts && now.Sub(m.last) >= missEvery {
		*m = missing{m.times + 1, now}
		news = true
	}
	return m.times, news
}

// unproven is a bound session that was asked for without the proof.
type unproven struct {
	key  Key
	id   *auth.Identity
	miss func(now time.Time, counts bool) (times int, news bool)
	// spent reports whether no browser gets a proof with what the request brings any more, so
	// that to wait for one is to wait for ever. Nil is never.
	spent func() bool
	// end ends the session. First says that it had not ended yet.
	end  func(ctx context.Context) (first bool, err error)
	tell func(ctx context.Context, level slog.Level, msg string, e event.Event, more ...slog.Attr)
}

// refuse counts r among the misses of s, and ends s if there are too many. It returns the
// answer: a *auth.Absent, or a *auth.Unavailable where the browser says that it could not
// prove its key.
//
// What does not count towards the end is what browsers send without the proof although they have
// the key: above all what a page of another origin, or an extension, has them send, for which they
// prove nothing.
// A thief can look like that, and is served no more by it.
func (p *proofs) refuse(r *http.Request, host string, s unproven) error {
	ctx, skipped := r.Context(), r.Header.Get("Secure-Session-Skipped")
	misses, news := s.miss(p.now(), skipped == "" && !web.IsUpgrade(r) && !web.IsFromElsewhere(r) && !web.IsFromNoPage(r) && !auth.IsGlance(ctx))
	if news {
		e := about(event.DeviceMismatch, s.key, s.id)
		e.Count = misses
		s.tell(ctx, slog.LevelWarn, "a bound session was asked for without the proof of its device", e, slog.String("host", host))
	}
	if misses >= maxMisses {
		first, err := s.end(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		if first {
			s.tell(ctx, slog.LevelWarn, "a bound session is asked for again and again without the proof of its device: it is revoked",
				because(about(event.SessionRevoked, s.key, s.id), event.WithoutDevice, nil))
		}
	}
	if skipped != "" && (s.spent == nil || !s.spent()) {
		return &auth.Unavailable{What: "the proof of this device", Err: errors.New("the browser says that it skipped it")}
	}
	return &auth.Absent{Reason: auth.OtherDevice}
}
