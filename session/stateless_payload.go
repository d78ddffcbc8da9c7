package session

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// payload is a session as the cookie carries it. It is a value that is replaced,
// never edited.
type payload struct {
	Created time.Time `json:"created"`
	// Seen is the last use, coarsely.
	Seen     time.Time `json:"seen"`
	Remember bool      `json:"remember,omitempty"`
	// Bound is the key that the session is bound to. There is one host.
	Bound binding `json:"bound,omitzero"`
	// From is what it was signed in by, and Trail where it was used from since.
	From  origin      `json:"from,omitzero"`
	Trail trail       `json:"trail,omitzero"`
	Login storedLogin `json:"login"`
}

// maxPayload bounds what a few kilobytes of cookie may unpack to.
const maxPayload = 256 << 10

// carried is the part that leaves the process: no access token does.
func (p payload) carried(idToken bool) payload {
	p.Login.storedToken, p.Login.Resources = storedToken{}, nil
	if !idToken {
		p.Login.IDToken = ""
	}
	return p
}

var (
	deflaters = sync.Pool{New: func() any {
		w, _ := flate.NewWriter(io.Discard, flate.BestCompression) // the level is a valid one
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

// pack encodes p and compresses it.
func (p payload) pack() ([]byte, error) {
	plain, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("session: encode the session: %w", err)
	}
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var b bytes.Buffer
	w.Reset(&b)
	_, _ = w.Write(plain) // a bytes.Buffer takes everything
	_ = w.Close()
	if len(plain) > maxPayload {
		return nil, &TooLarge{Size: b.Len(), plain: len(plain)}
	}
	return b.Bytes(), nil
}

var errPayload = errors.New("session: the session does not unpack")

func unpack(data []byte) (p payload, err error) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(data), nil); err != nil {
		return payload{}, errPayload
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxPayload+1))
	if err != nil || len(plain) > maxPayload || json.Unmarshal(plain, &p) != nil || p.Created.IsZero() || p.Login.read() != nil {
		return payload{}, errPayload
	}
	return p, nil
}

// TooLarge says that a sign-in does not fit the cookies that a browser keeps.
type TooLarge struct {
	// Size is what it takes, compressed, and Limit is what there is room for.
	Size, Limit int
	plain       int
}

const tooLargeRemedy = "have the provider put fewer claims (groups most of all) into the ID token, ask for fewer scopes, or set session.store to bolt or redis"

func (e *TooLarge) Error() string {
	if e.plain > maxPayload {
		return fmt.Sprintf("the session is %d bytes, and session.store: cookie carries at most %d: %s", e.plain, maxPayload, tooLargeRemedy)
	}
	return fmt.Sprintf("the session is %d bytes compressed, and session.store: cookie has room for %d in %d cookies: %s",
		e.Size, e.Limit, maxChunks, tooLargeRemedy)
}

// page is what the person who signed in sees of it.
func (e *TooLarge) page() error {
	return &web.Error{
		Status: http.StatusInternalServerError, Code: "session_too_large", Title: "This account does not fit a cookie",
		Detail: "You did sign in, and what the provider says about you is too much for the cookies that a browser keeps. Signing in again will not help. Tell whoever runs this gateway: {problem}.",
		Args:   web.Args{"problem": e.Error()},
		Err:    e,
	}
}

// fit packs p into a set of the next generation. With it goes the ID token, unless
// only what remains has room and no route needs it. The set that comes with a
// *TooLarge is whole, and no cookie can carry it.
func (s *Stateless) fit(p payload, generation uint64) (set cookieSet, idToken bool, err error) {
	limit := maxChunks * s.room
	data, err := p.carried(true).pack()
	if err != nil {
		return cookieSet{}, true, err
	}
	set = newSet(generation, data)
	if len(data) <= limit {
		return set, true, nil
	}
	if !s.set().NeedIDToken && p.Login.IDToken != "" {
		if less, err := p.carried(false).pack(); err == nil && len(less) <= limit {
			return newSet(generation, less), false, nil
		}
	}
	return set, true, &TooLarge{Size: len(data), Limit: limit}
}
