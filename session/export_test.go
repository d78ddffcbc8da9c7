package session

import "time"

// TidyEvery returns cfg with a house that is kept as often as that. The simulation
// keeps it itself, when there is something to do.
func (cfg Config) TidyEvery(d time.Duration) Config {
	cfg.houseEvery = d
	return cfg
}

// Tidy does what the house does once a second.
func (m *Manager) Tidy() { m.tidy() }

// Unsaved reports whether there is a renewed login that the store does not have yet.
func (m *Manager) Unsaved() bool {
	for _, e := range m.snapshot() {
		e.mu.Lock()
		unsaved := e.unsaved != nil
		e.mu.Unlock()
		if unsaved {
			return true
		}
	}
	return false
}
