package config

import (
	"fmt"
	"os"
	"strings"
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
	if c.TLS.ACME != nil && c.Session.Store == "redis" {
		warn("tls.acme", "each gateway gets certificates of its own, and answers the authority for its own orders: several behind one address need cert_file and key_file")
	}
	if c.Session.Store == "cookie" {
		warn("session.store", "sessions lie in cookies alone: run one gateway, and register no back-channel or front-channel logout, "+
			"which find nobody; a sign-out is forgotten at a restart, unless the provider revokes refresh tokens")
	}
	for i, r := range c.Routes {
		if r.Upstream != nil {
			c.warnUpstream(r.Upstream, fmt.Sprintf("routes[%d].upstream", i), warn)
		}
		c.warnProtection(&c.Routes[i], fmt.Sprintf("routes[%d]", i), warn)
		c.warnAnswer(&c.Routes[i], fmt.Sprintf("routes[%d]", i), warn)
		if r.UpstreamAuth != nil {
			c.warnUpstreamAuth(&r, fmt.Sprintf("routes[%d].upstream_auth", i), warn)
		}
	}
	c.warnShadowed(warn)
	files := map[string]string{"pages.templates": c.Pages.Templates, "tls.cert_file": c.TLS.CertFile, "tls.key_file": c.TLS.KeyFile}
	if c.TLS.ACME != nil {
		files["tls.acme.ca_file"] = c.TLS.ACME.CAFile
	}
	for path, file := range files {
		if _, err := os.Stat(file); file != "" && err != nil {
			warn(path, "it cannot be read here, and the gateway does not start without it: %v", err)
		}
	}
	for i, file := range c.Keys.Files {
		if _, err := os.Stat(file); err != nil {
			warn(fmt.Sprintf("keys.files[%d]", i), "it cannot be read here, and the gateway does not start without it: %v", err)
		}
	}
	for i := range c.Routes {
		if other, bare := c.bare(i); bare != "" {
			warn(fmt.Sprintf("routes[%d].match.path", i), "%s itself is not under it, and goes by %s. Many apps show the same page there: add a route for it", bare, other)
		}
	}
	for i, id := range c.Identity {
		if o := id.OIDC; o != nil {
			path := fmt.Sprintf("identity[%d].oidc", i)
			if !o.ClientSecret.IsZero() {
				warn(path+".client_secret", "a secret in this file is read by whoever reads the file; keep it in one of its own: client_secret_file")
			}
			for key, file := range map[string]string{"client_secret_file": o.ClientSecretFile, "client_key_file": o.ClientKeyFile, "ca_file": o.CAFile} {
				if file == "" {
					continue
				}
				if fi, err := os.Stat(file); err != nil {
					warn(path+"."+key, "it cannot be read here: %v", err)
				} else if key != "ca_file" && fi.Mode().Perm()&0o004 != 0 {
					warn(path+"."+key, "everybody on this machine can read it; try: chmod 600 %s", file)
				}
			}
		}
		if id.Local == nil {
			continue
		}
		if fi, err := os.Stat(id.Local.UsersFile); err == nil && fi.Mode().Perm()&0o044 != 0 {
			warn(fmt.Sprintf("identity[%d].local.users_file", i), "password hashes can be read by others; try: chmod 600 %s", id.Local.UsersFile)
		}
	}
	return all.Sorted()
}

// bare finds the path of a guarded route without its last slash, where another
// route that guards less is what it goes by.
func (c *Config) bare(i int) (other, bare string) {
	r := &c.Routes[i]
	bare, folder := strings.CutSuffix(r.Match.Path, "/")
	if !folder || bare == "" || r.Public || r.Allow == nil && r.Deny == nil && r.Rules == nil && r.Providers == nil {
		return "", ""
	}
	for j := range c.Routes {
		if o := &c.Routes[j]; o.Match.Host == r.Match.Host && o.Match.Path == bare {
			return "", ""
		}
	}
	for j := range c.Routes {
		o := &c.Routes[j]
		if j != i && (o.Match.Host == r.Match.Host || o.Match.Host == "") && (o.Match.Path == "" || o.Match.Path == "/") {
			return fmt.Sprintf("routes[%d]", j), bare
		}
	}
	return "", ""
}
