package passkeytest

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Drawer is a credential.Cabinet in memory. The zero value is empty.
type Drawer struct {
	mu     sync.Mutex // guards the rest
	values map[string][]byte
	counts map[string]uint64
	writes int
	away   bool
}

var errAway = errors.New("the store is away")

// Load implements credential.Cabinet.
func (d *Drawer) Load(_ context.Context, name string, _ uint64) ([]byte, uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return nil, 0, errAway
	}
	return d.values[name], d.counts[name], nil
}

// Save implements credential.Cabinet.
func (d *Drawer) Save(_ context.Context, name string, prev uint64, value []byte, _ time.Duration) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.away:
		return false, errAway
	case d.counts[name] != prev:
		return false, nil
	}
	if d.values == nil {
		d.values, d.counts = map[string][]byte{}, map[string]uint64{}
	}
	d.values[name], d.counts[name] = value, prev+1
	d.writes++
	return true, nil
}

// Reseal implements credential.Cabinet.
func (*Drawer) Reseal(context.Context, string) error { return nil }

// SetAway has everything fail, or not any more.
func (d *Drawer) SetAway(away bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = away
}

// Writes is how often something was put there.
func (d *Drawer) Writes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

// Forget implements credential.Cabinet.
func (d *Drawer) Forget(_ context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return errAway
	}
	delete(d.values, name)
	delete(d.counts, name)
	return nil
}
