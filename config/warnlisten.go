package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
)

// localAddresses are those of the IPv6 networks that nobody on the internet has: unique local
// (RFC 4193) and link-local ones. Those of IPv4 are narrower than what is warned of.
var localAddresses = []netip.Prefix{netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10")}

// warnBelieved tells of proxies whose word counts and who are strangers, and of a cookie that
// strangers can set.
func (c *Config) warnBelieved(warn warner) {
	for i, p := range c.TrustedProxies {
		at := fmt.Sprintf("trusted_proxies[%d]", i)
		switch {
		case p.Bits() == 0:
			warn(at, "everybody is believed, so everybody chooses their own address")
		case p.Addr().Is4() && p.Bits() < 8, p.Addr().Is6() && p.Bits() < 16 && !slices.ContainsFunc(localAddresses, func(l netip.Prefix) bool {
			return l.Bits() <= p.Bits() && l.Contains(p.Addr())
		}):
			warn(at, "%s is a large part of the internet, and whoever has an address in it chooses the one that networks in rules, limits and the log see; list the addresses of your proxies", p)
		}
	}
	if name := c.Session.Cookie.Name; name != "" && c.PublicURL != nil && c.PublicURL.Scheme == "https" && !strings.HasPrefix(name, "__Host-") {
		warn("session.cookie.name", "without __Host- in front, other hosts of the domain and whoever is on the way of a page on plain http can put a session of theirs into people's browsers; "+
			"leave the line out, or write __Host-Http-%s", strings.TrimPrefix(strings.TrimPrefix(name, "__Secure-"), "__Http-"))
	}
}

// warnListeners tells of an operator's listener that others reach.
func (c *Config) warnListeners(warn warner) {
	host, port, err := net.SplitHostPort(c.Admin.Listen)
	if err != nil || IsLoopback(host) {
		return
	}
	// A Pod's network is its own, and so is a container's: there every address is as many as
	// are let in from outside.
	if everywhere(c.Admin.Listen) && everywhere(c.Listen) && c.inContainer() {
		return
	}
	warn("admin.listen", "whoever reaches %s reads metrics and what is wrong here without signing in, and the operator's token travels there in the clear; "+
		"write 127.0.0.1:%s, and forward the port (ssh -L) to those who need it", c.Admin.Listen, port)
}

// inContainer reports whether secrets come from where orchestrators put them for a container.
func (c *Config) inContainer() bool {
	return slices.ContainsFunc(c.namedFiles(), func(f namedFile) bool {
		return strings.HasPrefix(f.name, "/run/secrets/") || strings.HasPrefix(f.name, "/var/run/secrets/")
	})
}

// warnOwn tells of targets that are the gateway itself.
func (c *Config) warnOwn(warn warner) {
	type listener struct{ path, address string }
	listeners := []listener{{"admin.listen", c.Admin.Listen}, {"listen", c.Listen}, {"tls.redirect_http", c.TLS.RedirectHTTP}, {"forward_auth.listen", c.ForwardListen()}}
	here := &machine{}
	for i := range c.Routes {
		u := c.Routes[i].Upstream
		if u == nil {
			continue
		}
		for j, t := range u.Targets {
			if t.URL.Scheme == "unix" {
				continue
			}
			k := slices.IndexFunc(listeners, func(l listener) bool { return here.listens(l.address, t.URL) })
			at := c.targetPath(fmt.Sprintf("routes[%d].upstream", i), j)
			switch {
			case k >= 0 && listeners[k].path == "admin.listen":
				warn(at, "%s is this gateway's own admin.listen: whoever the route lets pass reads metrics and what is wrong here, and comes to the operator's door from this machine. "+
					"Name the app's address; a route with admin: true shows the dashboard", t.URL.Host)
			case k >= 0 && listeners[k].path == "forward_auth.listen":
				warn(at, "%s is this gateway's own forward_auth.listen, whose answers have people's tokens in them: a script in a page could read them. Name the app's address", t.URL.Host)
			case k >= 0:
				warn(at, "%s is this gateway's own %s: a request would come back again and again, until it is answered 508. Name the app's address", t.URL.Host, listeners[k].path)
			case c.PublicURL != nil && strings.EqualFold(t.URL.Hostname(), c.PublicURL.Hostname()) && portOf(t.URL) == portOf(c.PublicURL) && !IsLoopback(t.URL.Hostname()):
				warn(at, "%s is public_url, which is this gateway: a request would come back again and again, until it is answered 508. Name the app's address", t.URL.Host)
			}
		}
	}
}

// portOf is the port of a URL, also where it is the usual one.
func portOf(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// machine is the one that the config is looked at on. Its names are asked for once.
type machine struct {
	asked     bool
	name      string
	addresses []netip.Addr
}

// listens reports whether a connection to target comes to a listener on address.
func (m *machine) listens(address string, target *url.URL) bool {
	on, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" || port != portOf(target) {
		return false
	}
	name := strings.ToLower(strings.TrimSuffix(target.Hostname(), "."))
	a, _ := netip.ParseAddr(name)
	bound, err := netip.ParseAddr(on)
	a, bound = a.Unmap().WithZone(""), bound.Unmap().WithZone("")
	loop := a.IsLoopback() || a.IsUnspecified() || isLoopbackName(name) // connections to no address go to loopback
	switch {
	case on == "" || err == nil && bound.IsUnspecified():
		return loop || m.is(name, a)
	case err == nil && bound.IsLoopback():
		return a == bound || a.IsUnspecified() || isLoopbackName(name)
	case err == nil:
		return a == bound || m.is(name, netip.Addr{}) && m.is("", bound)
	case isLoopbackName(strings.ToLower(on)):
		return loop
	}
	return strings.EqualFold(on, name)
}

// isLoopbackName reports whether machines have that name for themselves.
func isLoopbackName(name string) bool {
	_, err := netip.ParseAddr(name)
	return err != nil && IsLoopback(name) || slices.Contains([]string{"localhost.localdomain", "ip6-localhost", "ip6-loopback"}, name)
}

// is reports whether a name or an address is this machine's in a network.
func (m *machine) is(name string, a netip.Addr) bool {
	if !m.asked {
		m.asked = true
		if own, err := os.Hostname(); err == nil {
			m.name = strings.ToLower(own)
		}
		all, _ := net.InterfaceAddrs()
		for _, one := range all {
			if n, ok := one.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					m.addresses = append(m.addresses, ip.Unmap())
				}
			}
		}
	}
	return name != "" && name == m.name || a.IsValid() && slices.Contains(m.addresses, a)
}
