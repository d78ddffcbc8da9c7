package auth

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

const (
	formTTL     = 10 * time.Minute
	maxForm     = 64 << 10 // one form
	maxFormMeta = 8 << 10  // target and content type of one form
	// formTries bounds how often a change is tried anew. Somebody else's got in each
	// time, and a form changes twice: it gets an owner, and it is sent.
	formTries = 10
	// formTime bounds what is done with a form, whose sender may not be waiting any more.
	formTime = 5 * time.Second
)

// Forms keeps what people were sending when it turned out that they have to
// sign in first: for 10 minutes, at most 64 KiB each, 16 for each client address
// and 64 MiB in all; the oldest go first. Each is sealed with a key of its own that
// only the browser's cookie holds, so neither the memory of the gateway nor a shelf,
// opened with all of the gateway's keys, shows anybody's typing.
//
// Gateways with one shelf share their forms: what one keeps another gives back, and
// one alone. The limits count what each gateway has kept itself, so that the shelf
// holds as many times 64 MiB as there are gateways: a count for all would be one more
// thing to write, and to wait for, at each form.
//
// It is safe for concurrent use and outlives a reload of the config. Close it
// when the gateway ends.
type Forms struct {
	shelf Shelf
	books *formBooks
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
	// errFormLarge reports a form that is too large to be kept.
	errFormLarge = errors.New("the form is too large to be kept")
)

// NewForms returns an empty Forms in memory. Now is its clock; nil means time.Now.
func NewForms(now func() time.Time) *Forms {
	if now == nil {
		now = time.Now
	}
	shelf := newMemoryShelf(now)
	return &Forms{shelf: shelf, books: newFormBooks(now, func(id string) { shelf.forget(formName(id)) })}
}

// ShareForms returns the Forms of a shelf, which sees to it itself that what is over
// goes.
func ShareForms(shelf Shelf) *Forms {
	return &Forms{shelf: shelf, books: newFormBooks(time.Now, func(string) {})}
}

// Close forgets the forms in memory; those on a shelf are there for other gateways.
// Nothing is kept afterwards.
func (f *Forms) Close() error {
	f.books.close()
	return nil
}

// keep keeps a form for the client at addr. The key opens it; nobody else has it. The
// error is errFormLarge or a *Unavailable.
func (f *Forms) keep(ctx context.Context, addr netip.Addr, in form) (id string, key []byte, err error) {
	if len(in.body) > maxForm || len(in.target)+len(in.contentType) > maxFormMeta {
		return "", nil, errFormLarge
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	aead, err := formSeal(key)
	if err != nil {
		return "", nil, err
	}
	// Whoever hangs up meanwhile would leave a form on the shelf that nobody counts.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), formTime)
	defer cancel()
	now, err := f.shelf.Now(ctx)
	if err != nil {
		return "", nil, formsAway("keep a form", err)
	}
	plain := bytes.Join([][]byte{[]byte(in.target), []byte(in.contentType), in.body}, []byte{0})
	for range formTries {
		id = newHelperID()
		k := keptForm{until: now.Add(formTTL), sealed: aead.Seal(nil, nil, plain, []byte(id))}
		evicted, err := f.books.enter(id, addr, len(k.sealed))
		for _, other := range evicted {
			f.remove(ctx, other)
		}
		if err != nil {
			return "", nil, formsAway("keep a form", err)
		}
		ok, err := f.shelf.Save(ctx, formName(id), 0, k.encode(), formTTL)
		if err != nil {
			// It may be there all the same, and is counted until its time is over.
			return "", nil, formsAway("keep a form", err)
		}
		if ok {
			return id, key, nil
		}
		f.books.remove(id)
	}
	return "", nil, formsAway("keep a form", errors.New("every id is taken"))
}

// open returns a form that owner may see, and makes it owner's: whoever signs
// in next in the browser that holds the key is who was typing. An owner of ""
// only looks. The error is errFormGone, errFormSent or a *Unavailable.
func (f *Forms) open(ctx context.Context, id string, key []byte, owner string) (form, error) {
	return f.claim(ctx, id, key, owner, func(form) (bool, error) { return false, nil })
}

// take returns a form that was sent to target, once. The error is errFormGone,
// errFormSent, errFormElsewhere or a *Unavailable: then the form was not taken, as far
// as can be told, and is not to be sent.
func (f *Forms) take(ctx context.Context, id string, key []byte, owner, target string) (form, error) {
	// Browsers give up the first click for the second. What it began is brought to an
	// end, or the second would be told that the form was sent when nobody knows.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), formTime)
	defer cancel()
	out, err := f.claim(ctx, id, key, owner, func(in form) (bool, error) {
		if in.target != target {
			return false, errFormElsewhere
		}
		return true, nil
	})
	if err == nil {
		f.books.emptied(id)
	}
	return out, err
}

// claim makes a form owner's, and takes it where wanted says so. Whoever writes the
// next version has it.
func (f *Forms) claim(ctx context.Context, id string, key []byte, owner string, wanted func(form) (bool, error)) (form, error) {
	for atLeast, n := Newest, 0; n < formTries; n++ {
		k, version, err := f.load(ctx, id, atLeast)
		if err != nil {
			return form{}, err
		}
		out, err := k.unseal(id, key, owner)
		if err != nil {
			return form{}, err
		}
		send, err := wanted(out)
		if err != nil {
			return form{}, err
		}
		if !send && (owner == "" || k.owner == digestOwner(owner)) {
			return out, nil
		}
		now, err := f.shelf.Now(ctx)
		if err != nil {
			return form{}, formsAway("take a kept form", err)
		}
		left := k.until.Sub(now)
		if left <= 0 {
			return form{}, errFormGone
		}
		k.owner = digestOwner(owner)
		if send {
			k.sealed = nil // the rest stays, to know a second click for what it is
			_, _ = rand.Read(k.claim[:])
		}
		ok, err := f.shelf.Save(ctx, formName(id), version, k.encode(), left)
		if err != nil && send {
			// The answer may be lost, and the form taken: then it is ours to send.
			if now, _, err := f.load(ctx, id, version+1); err == nil && now.claim == k.claim {
				return out, nil
			}
		}
		if err != nil {
			return form{}, formsAway("take a kept form", err)
		}
		if ok {
			return out, nil
		}
		atLeast = version + 1
	}
	return form{}, formsAway("take a kept form", errors.New("others changed it again and again"))
}

func (f *Forms) load(ctx context.Context, id string, atLeast uint64) (keptForm, uint64, error) {
	value, version, err := f.shelf.Load(ctx, formName(id), atLeast)
	if err != nil {
		return keptForm{}, 0, formsAway("read a kept form", err)
	}
	if value == nil {
		return keptForm{}, 0, errFormGone
	}
	k, err := decodeKept(value)
	if err != nil {
		return keptForm{}, 0, formsAway("read a kept form", err)
	}
	return k, version, nil
}

// drop forgets a form.
func (f *Forms) drop(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), formTime)
	defer cancel()
	f.books.remove(id)
	f.remove(ctx, id)
}

// remove takes a form off the shelf. If it stays, because the shelf is away, it goes
// when its time is over.
func (f *Forms) remove(ctx context.Context, id string) {
	for atLeast, n := uint64(0), 0; n < formTries; n++ {
		value, version, err := f.shelf.Load(ctx, formName(id), atLeast)
		if err != nil || value == nil {
			return
		}
		if ok, err := f.shelf.Save(ctx, formName(id), version, nil, 0); ok || err != nil {
			return
		}
		atLeast = version + 1
	}
}

// keptForm is a form as it is kept.
type keptForm struct {
	until  time.Time // by the shelf's clock
	owner  [sha256.Size]byte
	claim  claim  // of whoever took it
	sealed []byte // empty once it was sent
}

// claim tells who took a form from others who tried.
type claim [16]byte

// keptHead is what stands before what is sealed: until, in ms, the owner and the claim.
const keptHead = 8 + sha256.Size + len(claim{})

func (k keptForm) encode() []byte {
	b := make([]byte, 0, keptHead+len(k.sealed))
	b = binary.BigEndian.AppendUint64(b, uint64(k.until.UnixMilli()))
	b = append(b, k.owner[:]...)
	b = append(b, k.claim[:]...)
	return append(b, k.sealed...)
}

func decodeKept(b []byte) (keptForm, error) {
	if len(b) < keptHead {
		return keptForm{}, fmt.Errorf("it has %d bytes, want %d and more", len(b), keptHead)
	}
	return keptForm{until: time.UnixMilli(int64(binary.BigEndian.Uint64(b))), owner: [sha256.Size]byte(b[8:]), claim: claim(b[8+sha256.Size:]),
		sealed: b[keptHead:]}, nil
}

// unseal opens a form for owner, unless it is somebody else's.
func (k keptForm) unseal(id string, key []byte, owner string) (form, error) {
	if owner != "" && k.owner != [sha256.Size]byte{} && k.owner != digestOwner(owner) {
		return form{}, errFormGone
	}
	if len(k.sealed) == 0 {
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
	return form{target: string(parts[0]), contentType: string(parts[1]), body: parts[2]}, nil
}

// digestOwner stands for who signed in and was offered a form.
func digestOwner(owner string) [sha256.Size]byte {
	return sha256.Sum256([]byte("evergate form owner\x00" + owner))
}

// formName is what a form is called on the shelf.
func formName(id string) string { return "form " + id }

func formsAway(doing string, err error) error {
	return &Unavailable{What: "the store of kept forms", Err: fmt.Errorf("%s: %w", doing, err)}
}

func formSeal(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal a form: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
