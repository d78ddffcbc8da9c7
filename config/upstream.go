package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Upstream is where requests go. In the file it is a URL, or a mapping where
// there is more to say.
type Upstream struct {
	// Targets serve the same.
	Targets []Target `yaml:"targets"`
	// Balance is least_requests or round_robin.
	Balance string `yaml:"balance"`
	// Sticky "session" keeps a session at one target; "" does not.
	Sticky string `yaml:"sticky"`
	// Health asks the targets how they are; nil asks none.
	Health *Health `yaml:"health"`
	// Eject takes out a target whose requests fail.
	Eject Eject `yaml:"eject"`
	// SlowStart is how long a target that comes back takes to get its whole share.
	SlowStart time.Duration `yaml:"slow_start"`
	// Retries is to how many more targets a request may go.
	Retries int `yaml:"retries"`
	// Connections is how many requests a target has at a time; zero is no limit.
	Connections int `yaml:"connections"`
	// Protocol is auto, http1, h2 or h2c.
	Protocol string `yaml:"protocol"`
	// TLS is for https targets; nil trusts the authorities of the system.
	TLS *UpstreamTLS `yaml:"tls"`
}

// Target is one server. In the file it is a URL, or a mapping with a weight.
type Target struct {
	// URL is http, https, or unix:///path/to/socket, without a path behind the host.
	URL *url.URL `yaml:"url"`
	// Weight is its share beside the others.
	Weight int `yaml:"weight"`
}

// Health is how targets are asked how they are.
type Health struct {
	// Path is asked for with GET, without any identity; 200 to 399 is well.
	Path string `yaml:"path"`
	// Interval is the time between two questions.
	Interval time.Duration `yaml:"interval"`
	// Timeout is how long an answer may take.
	Timeout time.Duration `yaml:"timeout"`
	// UnhealthyAfter so many bad answers in a row a target gets no requests, HealthyAfter
	// so many good ones it does again.
	UnhealthyAfter int `yaml:"unhealthy_after"`
	HealthyAfter   int `yaml:"healthy_after"`
}

// Eject is when a target gets no requests for a while, by what becomes of them.
type Eject struct {
	// After is how many must fail in a row; zero never.
	After int `yaml:"after"`
	// For is how long it gets none.
	For time.Duration `yaml:"for"`
}

// UpstreamTLS is how connections to https targets are made.
type UpstreamTLS struct {
	// CAFile holds the authority to trust (PEM); "" is those of the system.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are a client certificate and its key (PEM).
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name that the certificate has; "" is the host of the target.
	ServerName string `yaml:"server_name"`
	// InsecureSkipVerify believes any certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// NewUpstream is an Upstream of one target, as the short form in a file.
func NewUpstream(target *url.URL) *Upstream {
	u := &Upstream{}
	u.setDefaults()
	u.Targets = []Target{{URL: target, Weight: 1}}
	return u
}

// String lists the targets.
func (u *Upstream) String() string {
	names := make([]string, len(u.Targets))
	for i, t := range u.Targets {
		names[i] = t.URL.String()
	}
	return strings.Join(names, ", ")
}

func (u *Upstream) setDefaults() {
	*u = Upstream{Balance: "least_requests", Eject: Eject{After: 5, For: 30 * time.Second}, SlowStart: 30 * time.Second,
		Retries: 1, Protocol: "auto"}
}

func (t *Target) setDefaults() { *t = Target{Weight: 1} }

func (h *Health) setDefaults() {
	*h = Health{Interval: 10 * time.Second, Timeout: 2 * time.Second, UnhealthyAfter: 3, HealthyAfter: 2}
}

// isShort reports whether a URL says all of it.
func (u *Upstream) isShort() bool {
	if len(u.Targets) != 1 || u.Targets[0].Weight != 1 || u.Health != nil || u.TLS != nil {
		return false
	}
	d := NewUpstream(u.Targets[0].URL)
	return u.Balance == d.Balance && u.Sticky == d.Sticky && u.Eject == d.Eject && u.SlowStart == d.SlowStart &&
		u.Retries == d.Retries && u.Connections == d.Connections && u.Protocol == d.Protocol
}

// targetPath is where a target stands in the file. In code it is nowhere.
func (c *Config) targetPath(path string, i int) string {
	if long := fmt.Sprintf("%s.targets[%d]", path, i); c.doc != nil && c.given(long) {
		if c.given(long + ".url") {
			return long + ".url"
		}
		return long
	}
	return path
}

func (c *Config) checkUpstream(u *Upstream, path string) {
	if n := c.doc.places[path+".targets"]; len(u.Targets) == 0 && (n == nil || n.Kind == yaml.SequenceNode) {
		c.wrong("add:  targets: [ http://127.0.0.1:3000 ]", path, "there is no target")
	}
	first := map[string]int{}
	for i, t := range u.Targets {
		at := c.targetPath(path, i)
		if t.URL == nil {
			if n := c.doc.places[at]; n.Kind == yaml.MappingNode {
				c.wrong("add:  url: http://127.0.0.1:3000", at, "url is missing")
			}
			continue
		}
		if msg := validUpstream(t.URL); msg != "" {
			c.wrong("write it as http://10.0.0.5:8080", at, "%s", msg)
			continue
		}
		if j, twice := first[t.URL.String()]; twice {
			c.wrong("give one of them a weight", at, "it is the same target as the one on line %d", c.doc.node(c.targetPath(path, j)).Line)
		}
		first[t.URL.String()] = i
		among(c, fmt.Sprintf("%s.targets[%d].weight", path, i), t.Weight, 1, 1000)
		c.checkProtocol(u, t.URL, path, at)
	}
	oneOf(c, path+".balance", u.Balance, "least_requests", "round_robin")
	oneOf(c, path+".protocol", u.Protocol, "auto", "http1", "h2", "h2c")
	if c.given(path + ".sticky") {
		oneOf(c, path+".sticky", u.Sticky, "session")
	}
	c.checkCounts(u, path)
	c.checkHealth(u.Health, path+".health")
	if t := u.TLS; t != nil {
		if (t.CertFile == "") != (t.KeyFile == "") {
			c.wrong("name both", path+".tls", "cert_file and key_file go together")
		}
		if t.InsecureSkipVerify && (t.CAFile != "" || t.ServerName != "") {
			c.wrong("remove insecure_skip_verify", path+".tls.insecure_skip_verify", "it believes any certificate, so ca_file and server_name would mean nothing")
		}
	}
}

// checkProtocol looks whether what is spoken goes with the target.
func (c *Config) checkProtocol(u *Upstream, target *url.URL, path, at string) {
	switch {
	case u.Protocol == "h2c" && target.Scheme == "https":
		c.wrong("write protocol: h2", path+".protocol", "h2c is HTTP/2 without TLS, and %s is https", target)
	case u.Protocol == "h2" && target.Scheme != "https":
		c.wrong("write protocol: h2c", path+".protocol", "h2 is HTTP/2 over TLS, and %s is not https", target)
	}
	if u.TLS != nil && target.Scheme != "https" {
		c.wrong("write https://, or remove tls", at, "the upstream has tls, and this target is not https")
	}
}

func (c *Config) checkCounts(u *Upstream, path string) {
	for key, n := range map[string]int{"retries": u.Retries, "connections": u.Connections, "eject.after": u.Eject.After} {
		if n < 0 {
			c.wrong("", path+"."+key, "want 0 or more, got %d", n)
		}
	}
	if u.Eject.After > 0 {
		between(c, path+".eject.for", u.Eject.For, time.Second, time.Hour)
	}
	between(c, path+".slow_start", u.SlowStart, 0, time.Hour)
}

func (c *Config) checkHealth(h *Health, path string) {
	if h == nil {
		return
	}
	if u, err := url.ParseRequestURI(h.Path); err != nil || !strings.HasPrefix(h.Path, "/") || strings.HasPrefix(h.Path, "//") || u.Host != "" {
		at := path
		if c.given(path + ".path") {
			at += ".path"
		}
		c.wrong("write path: /healthz", at, "want the path that is asked for, got %q", h.Path)
	}
	between(c, path+".interval", h.Interval, time.Second, time.Hour)
	between(c, path+".timeout", h.Timeout, 100*time.Millisecond, time.Minute)
	for key, n := range map[string]int{"unhealthy_after": h.UnhealthyAfter, "healthy_after": h.HealthyAfter} {
		among(c, path+"."+key, n, 1, 100)
	}
}

// warnUpstream tells what is allowed in an upstream and should be looked at.
func (c *Config) warnUpstream(u *Upstream, path string, warn func(path, format string, args ...any)) {
	if t := u.TLS; t != nil && t.InsecureSkipVerify {
		warn(path+".tls.insecure_skip_verify", "any server on the way can say that it is %s, read the tokens and answer; name the authority in ca_file instead", u)
	}
}
