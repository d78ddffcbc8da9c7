package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// OnlyForTrying are what is well for trying Evergate out, and is not for people to rely
// on: `evergate check --production` fails by it.
func (c *Config) OnlyForTrying() []*Fault {
	var all Faults
	say := func(path, format string, args ...any) {
		all = append(all, c.Fault(path, "not for production: "+fmt.Sprintf(format, args...)))
	}
	https := c.PublicURL.Scheme == "https"
	ownTLS := c.TLS.CertFile != "" || c.TLS.ACME != nil
	if !https {
		say("public_url", "plain http is for a browser on this machine alone, and the cookie is not Secure there; write https:// and a name that browsers know")
	} else if IsLoopback(c.PublicURL.Hostname()) {
		say("public_url", "%s is this machine's name to itself, and no other browser gets here by it", c.PublicURL.Hostname())
	}
	if https && !ownTLS {
		if len(c.TrustedProxies) == 0 {
			say("trusted_proxies", "something in front speaks https, and is not believed: every client has its address, so limits and throttles "+
				"count all of them as one; list it in trusted_proxies, or set tls")
		}
		if everywhere(c.Listen) {
			say("listen", "it takes plain http on every address of this machine: whoever gets here past the proxy in front does so unencrypted; "+
				"listen on loopback or on an address of the network between them, or set tls")
		}
	}
	if c.Log.Level < slog.LevelInfo {
		say("log.level", "debug says much of every request, and costs; write info")
	}
	if a := c.TLS.ACME; a != nil && strings.Contains(a.Directory.Hostname(), "staging") {
		say("tls.acme.directory", "browsers do not believe the certificates of a staging directory; leave the line out")
	}
	if g := c.Session.RotationGrace; g < 10*time.Second {
		say("session.rotation_grace", "%s is for watching rotations: a request that takes longer would count as a copied cookie; leave the line out for 1m", showDuration(g))
	}
	for i, id := range c.Identity {
		switch {
		case id.OIDC != nil && strings.HasPrefix(id.OIDC.Issuer, "http://"):
			say(fmt.Sprintf("identity[%d].oidc.issuer", i), "a provider on plain http is one that runs on this machine to try things out; people's browsers do not get there")
		case id.Local != nil:
			if _, err := os.Stat(id.Local.UsersFile); errors.Is(err, fs.ErrNotExist) {
				say(fmt.Sprintf("identity[%d].local.users_file", i), "it is not there, so nobody can sign in; make it with: evergate user add NAME")
			}
		}
	}
	return all.Sorted()
}

// everywhere reports whether an address to listen on is every address of the machine.
func everywhere(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.IsUnspecified()
}
