package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/evergate/evergate/internal/web"
)

const (
	knownKind    = "-known"
	knownPurpose = "known"
	// knownFor is how long a browser is known after its last sign-in to an account.
	knownFor = 30 * 24 * time.Hour
	// maxKnown is how many accounts a browser is known at: a family has one browser, and
	// the cookie goes along with every request.
	maxKnown = 5
)

// Asker is who asks to be signed in by a password, before anybody can tell who it is.
type Asker struct {
	// Addr is where they ask from. The zero Addr is not known.
	Addr netip.Addr
	// Browser is what they ask with. The zero Browser is a stranger's.
	Browser Browser
}

// Browser is the accounts that a browser signed in to by a password lately, as its cookie
// tells them. The zero value is one that signed in to none. It proves nothing of who sits
// there, and lets nobody in: it only keeps those who guess elsewhere from being in the way.
//
// The cookie survives signing out, which is when it is needed. See "Slow Down Online Guessing Attacks
// with Device Cookies" of OWASP.
type Browser struct{ accounts []acquaintance }

// acquaintance is one account that a browser signed in to. No name is in it.
type acquaintance struct {
	account  [16]byte // a digest of the subject
	password [16]byte // a digest of Login.Stamp: a new password makes all that there are worthless
	count    [16]byte // drawn at the sign-in: what attempts by this browser are counted under
	at       time.Time
}

const acquaintanceSize = 3*16 + 8

// At returns the name that attempts of this browser at the account of subject are counted
// under, as long as its password is the one of stamp. It is "" where the browser is a
// stranger there.
//
// It is another one after each sign-in, so that somebody with a copy of the cookie keeps
// nobody out for longer than until then.
func (b Browser) At(subject, stamp string) string {
	if stamp == "" || len(b.accounts) == 0 {
		return ""
	}
	account, password := digest16("account", subject), digest16("password", stamp)
	for _, a := range b.accounts {
		if a.account == account && a.password == password {
			return hex.EncodeToString(a.count[:])
		}
	}
	return ""
}

// With returns b after a sign-in. The one that is longest ago makes room. A Login without
// a Stamp changes nothing: nothing could make its place worthless again.
func (b Browser) With(login *Login, now time.Time) Browser {
	if login.Stamp == "" {
		return b
	}
	a := acquaintance{account: digest16("account", login.Identity.Subject), password: digest16("password", login.Stamp), at: now}
	_, _ = rand.Read(a.count[:]) // never fails (crypto/rand)
	others := slices.DeleteFunc(slices.Clone(b.accounts), func(o acquaintance) bool { return o.account == a.account })
	slices.SortStableFunc(others, func(x, y acquaintance) int { return y.at.Compare(x.at) })
	return Browser{append([]acquaintance{a}, others[:min(len(others), maxKnown-1)]...)}
}

func (b Browser) encode() []byte {
	var out []byte
	for _, a := range b.accounts {
		out = slices.Concat(out, a.account[:], a.password[:], a.count[:])
		out = binary.BigEndian.AppendUint64(out, uint64(a.at.Unix()))
	}
	return out
}

// decodeBrowser reads what encode wrote, without what is over by now. What was never
// written is a stranger's.
func decodeBrowser(plain []byte, now time.Time) (b Browser) {
	if len(plain)%acquaintanceSize != 0 || len(plain) > maxKnown*acquaintanceSize {
		return Browser{}
	}
	for part := range slices.Chunk(plain, acquaintanceSize) {
		a := acquaintance{
			account: [16]byte(part), password: [16]byte(part[16:]), count: [16]byte(part[32:]),
			at: time.Unix(int64(binary.BigEndian.Uint64(part[48:])), 0),
		}
		if now.Sub(a.at) < knownFor {
			b.accounts = append(b.accounts, a)
		}
	}
	return b
}

func digest16(what, text string) [16]byte {
	sum := sha256.Sum256(append([]byte("evergate known "+what+"\x00"), text...))
	return [16]byte(sum[:16])
}

// asker is who sent r. A cookie that does not open makes a stranger of them, also where
// that is for a key of another gateway: a sign-in gives them a new one.
func (h *Handler) asker(r *http.Request) Asker {
	a := Asker{Addr: web.NoteOf(r.Context()).Client}
	value, ok := h.helperValue(r, knownKind, "")
	if !ok {
		return a
	}
	if plain, err := h.cfg.Sealer.Open(knownPurpose, hostOf(r), value); err == nil {
		a.Browser = decodeBrowser(plain, h.cfg.Now())
	}
	return a
}

// know gives the browser behind r, which was b until now, the cookie by which it is known
// at the account of login, and takes away the questions for passkeys that its sign-in page put.
func (h *Handler) know(w http.ResponseWriter, r *http.Request, b Browser, login *Login) {
	// The sign-in page asks for a passkey before anybody decides to use one.
	h.clearHelpers(w, r, ceremonyKind)
	if login.Stamp == "" {
		return
	}
	value, err := h.cfg.Sealer.Seal(knownPurpose, hostOf(r), b.With(login, h.cfg.Now()).encode(), knownFor)
	if err != nil {
		// They are signed in all the same, and a stranger the next time.
		h.cfg.Log.WarnContext(r.Context(), "a browser could not be given the cookie by which its next sign-in is known", "subject", login.Identity.User, "err", err)
		return
	}
	h.setHelper(w, knownKind, "", value, knownFor)
}
