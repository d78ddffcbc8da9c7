package doctor

import (
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/evergate/evergate/config"
)

// cookies reasons about what browsers do with the session cookie. It has no Domain, so it
// is each host's own (RFC 6265 section 5.3); what it cannot have is a port.
func (p *Patient) cookies() (all []Finding) {
	for i, host := range p.hosts() {
		all = append(all, p.cookie(host, i == 0))
	}
	return all
}

func (p *Patient) cookie(host string, home bool) Finding {
	u := p.Config.PublicURL
	f := Finding{OK, "cookie", host, "", ""}
	name := p.Cookie
	prefixed := strings.HasPrefix(strings.ToLower(name), "__host-")
	switch {
	case u.Scheme == "http" && !config.IsLoopback(host):
		// Check allows http for a loopback public_url alone; its routes may name others.
		f.Status, f.Text = Fail, "browsers come here by plain http, where the cookie can be read on the way"
		f.Mend = "serve it by https, or by a loopback name"
	case u.Scheme == "http":
		f.Text = "browsers keep " + name + " here; it is not Secure, and goes to every port of this name"
		if strings.HasPrefix(host, "127.") || host == "localhost" {
			f.Text += "; localhost and 127.0.0.1 are two hosts to them"
		}
	case !prefixed:
		f.Status, f.Text = Warn, "browsers keep "+name+" here, and another host below the same domain can plant one of that name"
		f.Mend = "leave session.cookie.name out: __Host-Http-evergate can be set by this host alone"
	default:
		f.Text = "browsers keep " + name + " here: Secure, HttpOnly, this host's alone"
	}
	if f.Status != OK || u.Scheme == "http" {
		return f
	}
	if port := u.Port(); port != "" && port != "443" {
		f.Text += "; it goes to every other https port of this name too"
	}
	if home {
		if suffix, icann := publicsuffix.PublicSuffix(host); suffix == host && (icann || strings.Contains(host, ".")) {
			f.Text += "; the name is a public suffix, so no cookie can be shared with the names below it"
		}
		return f
	}
	if site(host) != site(u.Hostname()) {
		f.Text += "; it is another site than " + u.Hostname() + ", so a page there cannot use this host in a frame or by fetch"
	}
	return f
}

// site is what browsers call the same site: the registrable domain, or the host itself.
func site(host string) string {
	host = strings.TrimPrefix(strings.ToLower(host), "*.")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return host
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return domain
}
