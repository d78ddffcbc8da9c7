package config

import "slices"

// Risk is what is done about signs that a sign-in is in other hands: off does not look for
// one, log tells of it, step_up has the session go on after a fresh sign-in alone, and revoke
// ends it.
type Risk struct {
	// NewDevice is a sign-in by a browser that is not known at the account: off or log.
	NewDevice string `yaml:"new_device"`
	// NewNetwork is a session that is used from a network that it was not used from yet: off,
	// log or step_up.
	NewNetwork string `yaml:"new_network"`
	// ChangedBrowser is a session that is used by another browser, or on another system, than it
	// was signed in by. Versions do not count.
	ChangedBrowser string `yaml:"changed_browser"`
	// ParallelUse is a session that two browsers in two networks use by turns, within seconds.
	ParallelUse string `yaml:"parallel_use"`
}

// checkRisk looks whether each action makes sense for its signal.
func (c *Config) checkRisk() {
	all := []string{"off", "log", "step_up", "revoke"}
	for _, s := range []struct {
		key, value, why, hint string
		among                 []string
	}{
		{"new_device", c.Session.Risk.NewDevice, "it is about a sign-in that was made just now: another would be no better, and to end it shuts people out who have a new device",
			"write log, and let them see it on their account page", all[:2]},
		{"new_network", c.Session.Risk.NewNetwork, "phones change networks all day, and would be signed out all day", "write log or step_up", all[:3]},
		{"changed_browser", c.Session.Risk.ChangedBrowser, "", "", all},
		{"parallel_use", c.Session.Risk.ParallelUse, "", "", all},
	} {
		at := "session.risk." + s.key
		if slices.Contains(all, s.value) && !slices.Contains(s.among, s.value) {
			c.note(at, bounds{among: s.among})
			c.wrong(s.hint, at, "%s makes no sense here: %s", s.value, s.why)
			continue
		}
		oneOf(c, at, s.value, s.among...)
	}
}

// warnRisk tells of what signs honest people out.
func (c *Config) warnRisk(warn warner) {
	if c.Session.Risk.NewNetwork == "step_up" {
		warn("session.risk.new_network", "people sign in again in each network that their session was not used from yet: a phone goes from one to the next all day, and so does whoever has a VPN; log tells of it")
	}
}
