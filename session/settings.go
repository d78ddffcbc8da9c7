package session

import (
	"context"
	"errors"
	"time"

	"github.com/evergate/evergate/auth"
)

// Settings are what of a Config or a StatelessConfig may change while it is in use. A
// session is held to those in force when it is asked about; what the store has been
// told of its end follows with its next write.
type Settings struct {
	// Methods, Minter, IdleTimeout, MaxLifetime, Grace, MaxStale, RenewBefore, Lease and
	// Ended are those of Config.
	Methods     map[string]auth.Refresher
	Minter      auth.Minter
	IdleTimeout time.Duration
	MaxLifetime time.Duration
	Grace       time.Duration
	MaxStale    time.Duration
	RenewBefore func(lifetime time.Duration) time.Duration
	Lease       time.Duration
	Ended       func(ctx context.Context, kept map[string][]byte)
	// BoundFor and Risks are those of Config.
	BoundFor time.Duration
	Risks    Risks
	// NeedIDToken is that of StatelessConfig.
	NeedIDToken bool
}

// defaultLease is the Lease of Settings that have none.
const defaultLease = 25 * time.Second

// check says what is wrong with s, and fills in what it leaves out.
func (s *Settings) check() error {
	if s.IdleTimeout <= 0 || s.MaxLifetime <= 0 || s.Grace <= 0 || s.MaxStale < 0 {
		return errors.New("session: idle_timeout, max_lifetime and rotation_grace must be above zero")
	}
	if s.RenewBefore == nil {
		s.RenewBefore = func(life time.Duration) time.Duration { return life / 5 }
	}
	if s.Lease <= 0 {
		s.Lease = defaultLease
	}
	if s.BoundFor <= 0 {
		s.BoundFor = defaultBoundFor
	}
	return nil
}

// takeSettings moves what may change out of c, so that nothing can read there what
// was in force once.
func (c *Config) takeSettings() *Settings {
	s := &Settings{Methods: c.Methods, Minter: c.Minter, IdleTimeout: c.IdleTimeout, MaxLifetime: c.MaxLifetime,
		Grace: c.Grace, MaxStale: c.MaxStale, RenewBefore: c.RenewBefore, Lease: c.Lease, Ended: c.Ended, BoundFor: c.BoundFor, Risks: c.Risks}
	c.Methods, c.Minter, c.RenewBefore, c.Ended = nil, nil, nil, nil
	c.IdleTimeout, c.MaxLifetime, c.Grace, c.MaxStale, c.Lease, c.BoundFor, c.Risks = 0, 0, 0, 0, 0, 0, Risks{}
	return s
}

func (c *StatelessConfig) takeSettings() *Settings {
	s := &Settings{Methods: c.Methods, Minter: c.Minter, IdleTimeout: c.IdleTimeout, MaxLifetime: c.MaxLifetime,
		Grace: c.Grace, MaxStale: c.MaxStale, RenewBefore: c.RenewBefore, NeedIDToken: c.NeedIDToken, Ended: c.Ended, BoundFor: c.BoundFor, Risks: c.Risks}
	c.Methods, c.Minter, c.RenewBefore, c.NeedIDToken, c.Ended = nil, nil, nil, false, nil
	c.IdleTimeout, c.MaxLifetime, c.Grace, c.MaxStale, c.BoundFor, c.Risks = 0, 0, 0, 0, 0, Risks{}
	return s
}

// Reconfigure puts other settings in force, for sessions that there are too. Those
// with a live connection are asked again at once. On an error nothing changes.
func (m *Manager) Reconfigure(s Settings) error {
	if err := s.check(); err != nil {
		return err
	}
	if m.settings.Swap(&s).Risks != s.Risks {
		for _, e := range m.entries.snapshot() {
			e.walk.Store(nil) // what is looked at from now on may be what was passed until now
		}
	}
	m.Recheck()
	return nil
}

// set returns the settings in force. Whoever needs two of them asks once.
func (m *Manager) set() *Settings { return m.settings.Load() }

// Reconfigure is that of a Manager.
func (s *Stateless) Reconfigure(set Settings) error {
	if err := set.check(); err != nil {
		return err
	}
	before := s.settings.Swap(&set)
	longer := set.MaxLifetime - before.MaxLifetime
	for _, k := range s.snapshot() {
		k.mu.Lock()
		if before.Risks != set.Risks {
			k.walk.Store(nil)
		}
		k.ends = k.ends.Add(longer) // those signed out are denied for as long as their cookies could be good
		k.mu.Unlock()
	}
	s.Recheck()
	return nil
}

func (s *Stateless) set() *Settings { return s.settings.Load() }
