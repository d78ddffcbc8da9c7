package config

import "fmt"

// checkCookieStore refuses what sessions without a store cannot do.
func (c *Config) checkCookieStore() {
	for i, id := range c.Identity {
		if id.Local != nil {
			c.wrong("use bolt", fmt.Sprintf("identity[%d].local", i), "users kept here have no refresh token, which is all that the store cookie keeps")
		}
	}
	if len(c.Providers()) == 0 {
		c.wrong("use bolt", "session.store", "the store cookie is for oidc providers, and there is none")
	}
}
