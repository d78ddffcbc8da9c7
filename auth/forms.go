package auth

import (
	"bytes"
	"container/list"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	formTTL      = 10 * time.Minute
	maxForm      = 64 << 10 // one form
	maxForms     = 64 << 20 // all forms
	maxFormsFrom = 16       // forms of one client address
	formOverhead = 512      // what keeping a form costs beyond its bytes, roughly
	maxFormMeta  = 8 << 10  // target and content type of one form
)

// Forms keeps what people were sending when it turned out that they have to
// sign in first: for 10 minutes, at most 64 KiB each and 64 MiB in all; the
// oldest go first. Each is sealed with a key of its own that only the browser's
// cookie holds, so the memory of the gateway shows nobody's typing.
//
// It is safe for concurrent use and outlives a reload of the config. Close it
// when the gateway ends.
type Forms struct {
	now func() time.Time

	mu    sync.Mutex // guards all below
	byID  map[string]*keptForm
	order *list.List // of *keptForm, by expiry, which is by arrival
	from  map[netip.Prefix][]*keptForm
	bytes int
	sweep *time.Timer // pending while anything is kept
	over  bool        // after Close
}

// keptForm is a form as the memory sees it.
type keptForm struct {
	id     string
	from   netip.Prefix
	until  time.Time
	sealed []byte // nil once it was sent
	owner  string // who signed in and was offered it; "" until then
	place  *list.Element
}

// form is a form in the clear.
type form struct {
	target      string // path and query it was sent to
	contentType string
	body        []byte
}

var (
	// errFormGone reports a form that is not kept, or not any more.
	errFormGone = errors.New("the form is not kept any more")
	// errFormSent reports a form that has been sent already.
	errFormSent = errors.New("the form was sent already")
	// errFormElsewhere reports a form that was going to another address.
	errFormElsewhere = errors.New("the form was going elsewhere")
)

// NewForms returns an empty Forms. Now is its clock; nil means time.Now.
func NewForms(now func() time.Time) *Forms {
	if now == nil {
		now = time.Now
	}
	return &Forms{now: now, byID: map[string]*keptForm{}, order: list.New(), from: map[netip.Prefix][]*keptForm{}}
}

// Close forgets all forms. Nothing is kept afterwards.
func (f *Forms) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	for f.oldest() != nil {
		f.forget(f.oldest())
	}
	if f.sweep != nil {
		f.sweep.Stop()
	}
	return nil
}

// keep keeps a form for the client at addr. The key opens it; nobody else has it.
func (f *Forms) keep(addr netip.Addr, in form) (id string, key []byte, err error) {
	if len(in.body) > maxForm || len(in.target)+len(in.contentType) > maxFormMeta {
		return "", nil, errors.New("keep a form: it is too large")
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	aead, err := formSeal(key)
	if err != nil {
		return "", nil, err
	}
	plain := bytes.Join([][]byte{[]byte(in.target), []byte(in.contentType), in.body}, []byte{0})

	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return "", nil, errors.New("keep a form: the gateway is ending")
	}
	f.dropOver()
	id = f.freshID()
	k := &keptForm{id: id, from: network(addr), until: f.now().Add(formTTL), sealed: aead.Seal(nil, nil, plain, []byte(id))}
	if theirs := f.from[k.from]; len(theirs) >= maxFormsFrom {
		f.forget(theirs[0])
	}
	for f.bytes+k.size() > maxForms && f.oldest() != nil {
		f.forget(f.oldest())
	}
	f.byID[id], k.place = k, f.order.PushBack(k)
	f.from[k.from] = append(f.from[k.from], k)
	f.bytes += k.size()
	f.schedule()
	return id, key, nil
}

// open returns a form that owner may see, and makes it owner's: whoever signs
// in next in the browser that holds the key is who was typing. An owner of ""
// only looks. The error is errFormGone or errFormSent.
func (f *Forms) open(id string, key []byte, owner string) (form, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unseal(id, key, owner, "")
}

// take returns a form that was sent to target, once. The error is errFormGone,
// errFormSent or errFormElsewhere.
func (f *Forms) take(id string, key []byte, owner, target string) (form, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out, err := f.unseal(id, key, owner, target)
	if err != nil {
		return form{}, err
	}
	k := f.byID[id]
	f.bytes -= len(k.sealed)
	k.sealed = nil // the rest stays, to know a second click for what it is
	return out, nil
}

func (f *Forms) unseal(id string, key []byte, owner, target string) (form, error) {
	k := f.byID[id]
	if k == nil || !f.now().Before(k.until) || owner != "" && k.owner != "" && k.owner != owner {
		return form{}, errFormGone
	}
	if k.sealed == nil {
		return form{}, errFormSent
	}
	aead, err := formSeal(key)
	if err != nil {
		return form{}, errFormGone
	}
	plain, err := aead.Open(nil, nil, k.sealed, []byte(id))
	if err != nil {
		return form{}, errFormGone
	}
	parts := bytes.SplitN(plain, []byte{0}, 3)
	out := form{target: string(parts[0]), contentType: string(parts[1]), body: parts[2]}
	if target != "" && target != out.target {
		return form{}, errFormElsewhere
	}
	if owner != "" {
		k.owner = owner
	}
	return out, nil
}

// drop forgets a form.
func (f *Forms) drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(f.byID[id])
}

// forget takes k out of the books.
func (f *Forms) forget(k *keptForm) {
	if k == nil {
		return
	}
	f.bytes -= k.size()
	k.sealed = nil
	delete(f.byID, k.id)
	f.order.Remove(k.place)
	theirs := slices.DeleteFunc(f.from[k.from], func(other *keptForm) bool { return other == k })
	if f.from[k.from] = theirs; len(theirs) == 0 {
		delete(f.from, k.from)
	}
}

func (f *Forms) oldest() *keptForm {
	if e := f.order.Front(); e != nil {
		return e.Value.(*keptForm)
	}
	return nil
}

// dropOver forgets what is over.
func (f *Forms) dropOver() {
	for k := f.oldest(); k != nil && !f.now().Before(k.until); k = f.oldest() {
		f.forget(k)
	}
}

// schedule sees to it that forms go when they are over, even if nobody comes.
// The timer runs only while something is kept.
func (f *Forms) schedule() {
	next := f.oldest()
	if f.sweep != nil || next == nil || f.over {
		return
	}
	f.sweep = time.AfterFunc(max(next.until.Sub(f.now()), time.Second), func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.sweep = nil
		f.dropOver()
		f.schedule()
	})
}

func (f *Forms) freshID() string {
	for {
		if id := newHelperID(); f.byID[id] == nil {
			return id
		}
	}
}

func (k *keptForm) size() int { return len(k.sealed) + formOverhead }

func formSeal(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal a form: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// network is who counts as one client: an IPv4 address, or the /64 that one
// subscriber of IPv6 has to themselves.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the zero Prefix where the address is unknown
	return p
}
