package config

import (
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// TLS is how the gateway serves https itself: with a certificate from files, or
// with one that it gets by ACME. Neither leaves TLS to a front proxy.
type TLS struct {
	// CertFile and KeyFile are the certificate chain and its key (PEM).
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ACME gets certificates for public_url and the hosts of routes; nil does not.
	ACME *ACME `yaml:"acme"`
	// RedirectHTTP is an address where plain http is sent on to https; "" is none.
	RedirectHTTP string `yaml:"redirect_http"`
	// HSTS is how long browsers shall not even try plain http; zero says nothing.
	HSTS time.Duration `yaml:"hsts"`
}

// ACME is the authority that certificates come from.
type ACME struct {
	// Email is where the authority writes to; "" is nowhere.
	Email string `yaml:"email"`
	// Directory is the authority's address.
	Directory *url.URL `yaml:"directory"`
	// CAFile are the roots (PEM) by which the authority itself is known; "" is the system's.
	CAFile string `yaml:"ca_file"`
}

// letsEncrypt is the directory of an ACME that names none.
var letsEncrypt = url.URL{Scheme: "https", Host: "acme-v02.api.letsencrypt.org", Path: "/directory"}

// Limits bound what one client can take.
type Limits struct {
	// HeaderBytes bounds the header of a request, Headers the number of its lines.
	HeaderBytes Size `yaml:"header_bytes"`
	Headers     int  `yaml:"headers"`
	// BodyBytes bounds its body; zero is no limit.
	BodyBytes Size `yaml:"body_bytes"`
	// HeaderTimeout is how long a client may take to send a header.
	HeaderTimeout time.Duration `yaml:"header_timeout"`
	// RequestTimeout is how long the whole request may take to arrive; zero is no limit.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// StallTimeout is how long a client may let a transfer stand still; zero is no limit.
	StallTimeout time.Duration `yaml:"stall_timeout"`
	// IdleTimeout is how long an unused connection is kept.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// ShutdownTimeout is how long requests may go on after a signal to stop.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`
	// ConnectionsPerAddress bounds the connections of one client; zero is no limit.
	ConnectionsPerAddress int `yaml:"connections_per_address"`
	// Streams is how many requests one HTTP/2 connection may have at a time.
	Streams int `yaml:"streams"`
}

var defaultLimits = Limits{HeaderBytes: 64 << 10, Headers: 100, HeaderTimeout: 10 * time.Second, StallTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
	ShutdownTimeout: 30 * time.Second, ConnectionsPerAddress: 1024, Streams: 100}

func (a *ACME) setDefaults() {
	u := letsEncrypt
	*a = ACME{Directory: &u}
}

// Hosts are the names that certificates are for: public_url's first, then those
// that routes name.
func (c *Config) Hosts() []string {
	hosts := []string{strings.ToLower(strings.TrimSuffix(c.PublicURL.Hostname(), "."))}
	seen := map[string]bool{"": true, hosts[0]: true}
	for i := range c.Routes {
		h := strings.TrimSuffix(c.Routes[i].Match.Host, ".")
		if !strings.HasPrefix(h, "*.") && !seen[h] {
			seen[h] = true
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// checkFront looks at TLS and at who is believed.
func (c *Config) checkFront() {
	plain := c.PublicURL != nil && c.PublicURL.Scheme == "http"
	t := &c.TLS
	if (t.CertFile == "") != (t.KeyFile == "") {
		c.wrong("name both cert_file and key_file", "tls", "a certificate needs its key, and the other way round")
	}
	if plain {
		for path, set := range map[string]bool{"tls": t.CertFile != "", "tls.acme": t.ACME != nil,
			"tls.redirect_http": t.RedirectHTTP != "", "tls.hsts": t.HSTS != 0} {
			if set {
				c.wrong("write https:// in public_url, or remove "+path, path, "public_url says http")
			}
		}
	}
	if t.HSTS != 0 {
		between(c, "tls.hsts", t.HSTS, time.Minute, 10*365*24*time.Hour)
	}
	c.checkACME()
	if c.ProxyProtocol && len(c.TrustedProxies) == 0 {
		c.wrong("list the proxies there", "proxy_protocol", "only trusted_proxies may begin with a PROXY header, and none is listed")
	}
	oneOf(c, "forwarded_header", c.ForwardedHeader, "X-Forwarded-For", "Forwarded")
	c.checkLimits()
}

func (c *Config) checkACME() {
	a := c.TLS.ACME
	if a == nil {
		return
	}
	if c.TLS.CertFile != "" || c.TLS.KeyFile != "" {
		c.wrong("keep one of the two", "tls.acme", "certificates come from cert_file already")
	}
	if a.Email != "" {
		if m, err := mail.ParseAddress(a.Email); err != nil || m.Address != a.Email {
			c.wrong("write it as admin@example.com", "tls.acme.email", "%q is no address", a.Email)
		}
	}
	if d := a.Directory; d != nil && (d.Scheme != "https" || d.Host == "" || d.User != nil) {
		c.wrong("write it as "+letsEncrypt.String(), "tls.acme.directory", "want the https:// address of an ACME directory, got %q", d)
	}
	if c.PublicURL != nil && c.PublicURL.Hostname() != "" && !certifiable(c.PublicURL.Hostname()) {
		c.wrong("use cert_file and key_file", "public_url", "no authority gives a certificate by ACME for %s", c.PublicURL.Hostname())
	}
	for i := range c.Routes {
		switch h := c.Routes[i].Match.Host; {
		case strings.HasPrefix(h, "*."):
			c.wrong("name the hosts one by one, or use cert_file and key_file with a certificate for "+h, "routes["+strconv.Itoa(i)+"].match.host",
				"tls.acme cannot get a certificate for %s: a wildcard is proven in DNS alone", h)
		case h != "" && !certifiable(h):
			c.wrong("use cert_file and key_file", "routes["+strconv.Itoa(i)+"].match.host", "no authority gives a certificate by ACME for %s", h)
		}
	}
}

// certifiable reports whether a public name, as opposed to an address or a name
// of this machine, is what host looks like.
func certifiable(host string) bool {
	host = strings.TrimSuffix(host, ".")
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err != nil && strings.Contains(host, ".") && !IsLoopback(host)
}

func (c *Config) checkLimits() {
	l := &c.Limits
	between(c, "limits.header_timeout", l.HeaderTimeout, time.Second, 10*time.Minute)
	between(c, "limits.idle_timeout", l.IdleTimeout, time.Second, time.Hour)
	between(c, "limits.shutdown_timeout", l.ShutdownTimeout, time.Second, time.Hour)
	if l.RequestTimeout != 0 {
		between(c, "limits.request_timeout", l.RequestTimeout, time.Second, 24*time.Hour)
	}
	if l.StallTimeout != 0 {
		between(c, "limits.stall_timeout", l.StallTimeout, time.Second, 24*time.Hour)
	}
	if l.HeaderBytes < 4<<10 || l.HeaderBytes > 1<<20 {
		c.wrong("", "limits.header_bytes", "want 4KiB to 1MiB, got %s", l.HeaderBytes)
	}
	among(c, "limits.headers", l.Headers, 20, 10000)
	among(c, "limits.streams", l.Streams, 1, 10000)
	among(c, "admin.decisions", c.Admin.Decisions, 0, 1000)
	if l.ConnectionsPerAddress != 0 {
		among(c, "limits.connections_per_address", l.ConnectionsPerAddress, 8, 1000000)
	}
}

func among(c *Config, path string, n, least, most int) {
	c.note(path, bounds{least: least, most: most})
	if n < least || n > most {
		c.wrong("", path, "want %d to %d, got %d", least, most, n)
	}
}

// checkAddresses looks at what is listened on.
func (c *Config) checkAddresses() {
	addresses := []struct{ path, address string }{{"listen", c.Listen}, {"admin.listen", c.Admin.Listen}}
	if c.TLS.RedirectHTTP != "" || c.given("tls.redirect_http") {
		addresses = append(addresses, struct{ path, address string }{"tls.redirect_http", c.TLS.RedirectHTTP})
	}
	if f := c.ForwardAuth; f != nil && c.given("forward_auth.listen") {
		addresses = append(addresses, struct{ path, address string }{"forward_auth.listen", f.Listen})
		for path, other := range map[string]string{"listen": c.Listen, "admin.listen": c.Admin.Listen, "tls.redirect_http": c.TLS.RedirectHTTP} {
			if f.Listen == other && !strings.HasSuffix(other, ":0") {
				c.wrong("", "forward_auth.listen", "it is the same address as %s: a page's script could read the token there", path)
			}
		}
	}
	for _, a := range addresses {
		if _, port, err := net.SplitHostPort(a.address); err != nil || !isPort(port) {
			c.wrong("write it as 127.0.0.1:8080 or :8080", a.path, "%q is no address to listen on", a.address)
		}
	}
	if c.Listen == c.Admin.Listen && !strings.HasSuffix(c.Listen, ":0") {
		c.wrong("", "admin.listen", "it is the same address as listen: the operator's pages would be public")
	}
	if r := c.TLS.RedirectHTTP; r != "" && !strings.HasSuffix(r, ":0") {
		for path, other := range map[string]string{"listen": c.Listen, "admin.listen": c.Admin.Listen} {
			if r == other {
				c.wrong("", "tls.redirect_http", "it is the same address as %s", path)
			}
		}
	}
}
