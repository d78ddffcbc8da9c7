package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// Vault keeps small things beside the sessions, so that the gateways on one store
// share them: signing keys, kept forms, throttles. Each is sealed under the key ring,
// and what it is called lies in the store as a digest alone.
type Vault struct {
	Store Store
	Ring  *Ring
}

const purposeVault = "vault"

// rewriteTries bounds how often a thing is written once more that others change meanwhile.
const rewriteTries = 20

// TookAway is for how long the store knows that something was taken away: longer than anybody takes
// who read it before, so that their write is refused. A deletion would be remembered for an hour,
// and strangers can have many things taken away.
const TookAway = 15 * time.Second

// vaultTime is how long before a thing is over that has no end.
const vaultTime = 10 * 365 * 24 * time.Hour

// vaultKey does not depend on the ring, whose keys change. Names that somebody might
// guess and should not find are given as a Ring's Tag.
func vaultKey(name string) Key {
	return sha256.Sum256([]byte("evergate vault key\x00" + name))
}

// Load returns what is kept under name and its version, or nothing and version 0.
// What was sealed under a key that is not on the ring is ErrUnknownKey: another
// gateway may have that key already.
func (v Vault) Load(ctx context.Context, name string) (value []byte, version uint64, err error) {
	return v.LoadNewer(ctx, name, 0)
}

// LoadNewer is Load for somebody who knows that there was a version at least so high, or
// wants what is there now: Newest.
func (v Vault) LoadNewer(ctx context.Context, name string, atLeast uint64) (value []byte, version uint64, err error) {
	key := vaultKey(name)
	rec, err := v.Store.Get(ctx, key, atLeast)
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	value, _, err = v.Ring.OpenBlob(purposeVault, key[:], rec.Data)
	return value, rec.Version, err
}

// Save keeps value under name for ttl, where the version there is still prev: 0 is
// nothing there. Otherwise it returns ErrConflict. A ttl of 0 has no end.
func (v Vault) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) error {
	now, err := v.Store.Now(ctx)
	if err != nil {
		return err
	}
	if ttl <= 0 {
		ttl = vaultTime
	}
	key := vaultKey(name)
	return v.Store.Put(ctx, key, prev, Record{
		Version: prev + 1, Expires: now.Add(ttl), Data: v.Ring.SealBlob(purposeVault, key[:], value),
	})
}

// Watch has notify called, until stop is, whenever what is kept under name may have changed: see
// [Store.Watch].
func (v Vault) Watch(name string, notify func()) (stop func()) {
	return v.Store.Watch(vaultKey(name), func(bool) { notify() })
}

// Forget takes away what is kept under name, whether it opens or not. Something may be kept there
// anew at once, which a deletion would keep from it: a Store may know for an hour what was deleted.
func (v Vault) Forget(ctx context.Context, name string) error {
	return v.rewrite(ctx, name, Newest, func(_ Key, rec Record) ([]byte, bool, time.Time, error) {
		return nil, true, rec.Now.Add(TookAway), nil
	})
}

// Reseal seals what is kept under name anew, unless the key that seals now did that.
// Whoever keeps a thing for longer than keys stay on the ring calls it now and then,
// before the old key is taken away. Gateways whose rings have another order for a
// while may undo each other's; that is harmless.
func (v Vault) Reseal(ctx context.Context, name string) error {
	// What was written meanwhile, or before a copy at hand was out of date, may be sealed by
	// the old key all the same.
	return v.rewrite(ctx, name, 0, func(key Key, rec Record) ([]byte, bool, time.Time, error) {
		value, current, err := v.Ring.OpenBlob(purposeVault, key[:], rec.Data)
		return value, !current, rec.Expires, err
	})
}

// rewrite puts what next makes of the record under name in its place, if anything is there, and
// again where others have changed that meanwhile. What next gives is the value and until when it
// is kept; false leaves all as it is.
func (v Vault) rewrite(ctx context.Context, name string, atLeast uint64, next func(Key, Record) (value []byte, change bool, ends time.Time, err error)) error {
	key := vaultKey(name)
	for n := 0; ; n++ {
		rec, err := v.Store.Get(ctx, key, atLeast)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		value, change, ends, err := next(key, rec)
		if err != nil || !change {
			return err
		}
		err = v.Store.Put(ctx, key, rec.Version, Record{
			Version: rec.Version + 1, Expires: ends, Data: v.Ring.SealBlob(purposeVault, key[:], value),
		})
		if !errors.Is(err, ErrConflict) || n == rewriteTries {
			return err
		}
		atLeast = rec.Version + 1
	}
}
