package config

import (
	"fmt"
	"os"
)

// Warnings are what is allowed and should be looked at.
func (c *Config) Warnings() []*Fault {
	var all Faults
	warn := func(path, format string, args ...any) {
		f := c.Fault(path, "warning: "+fmt.Sprintf(format, args...))
		all = append(all, f)
	}
	for i, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			warn(fmt.Sprintf("trusted_proxies[%d]", i), "everybody is believed, so everybody chooses their own address")
		}
	}
	for i, r := range c.Routes {
		if r.Upstream != nil && r.Upstream.Scheme == "http" && !IsLoopback(r.Upstream.Hostname()) {
			warn(fmt.Sprintf("routes[%d].upstream", i), "tokens travel to %s in the clear", r.Upstream.Host)
		}
	}
	for i, id := range c.Identity {
		if id.Local == nil {
			continue
		}
		if fi, err := os.Stat(id.Local.UsersFile); err == nil && fi.Mode().Perm()&0o044 != 0 {
			warn(fmt.Sprintf("identity[%d].local.users_file", i), "password hashes can be read by others; try: chmod 600 %s", id.Local.UsersFile)
		}
	}
	return all.sorted()
}
