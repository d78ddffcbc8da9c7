package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
)

// Audit is where events go that may be held against somebody. The zero value is nowhere.
type Audit struct {
	// File is appended to, one line an event; "" is none.
	File string `yaml:"file"`
	// Stdout writes the lines to standard output.
	Stdout bool `yaml:"stdout"`
	// Syslog sends them to a syslog; nil does not.
	Syslog *Syslog `yaml:"syslog"`
}

// Syslog is a server that takes RFC 5424, or the socket of syslog(3).
type Syslog struct {
	// Address is udp://host:514, tcp://host:601 or unix:///dev/log.
	Address *url.URL `yaml:"address"`
	// Facility is auth, authpriv, daemon, user or local0 to local7.
	Facility string `yaml:"facility"`
}

func (s *Syslog) setDefaults() { s.Facility = "authpriv" }

// Facilities are those of syslog (RFC 5424 section 6.2.1) that an audit log goes to.
var Facilities = []string{"auth", "authpriv", "daemon", "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// Redactions are what may be kept out of the log.
var Redactions = []string{"client", "subject", "path"}

// checkAudit looks at where events go, and at what the log leaves out.
func (c *Config) checkAudit() {
	for i, what := range c.Log.Redact {
		at := fmt.Sprintf("log.redact[%d]", i)
		oneOf(c, at, what, Redactions...)
		if slices.Contains(c.Log.Redact[:i], what) {
			c.wrong("remove one", at, "%s is there twice", what)
		}
	}
	if s := c.Audit.Syslog; s != nil {
		oneOf(c, "audit.syslog.facility", s.Facility, Facilities...)
		switch u := s.Address; {
		case u == nil:
			if !c.given("audit.syslog.address") {
				c.wrong("add:  address: unix:///dev/log", "audit.syslog", "address is missing")
			}
		case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
		case (u.Scheme == "udp" || u.Scheme == "tcp") && u.Hostname() != "" && u.Port() != "" && u.Path == "" && u.User == nil:
		default:
			c.wrong("write it as udp://host:514, tcp://host:601 or unix:///dev/log", "audit.syslog.address", "%q is no syslog", u)
		}
	}
	if f := c.Audit.File; f != "" && filepath.Clean(f) == filepath.Clean(c.DataDir) {
		c.wrong("name a file in it", "audit.file", "it is data_dir, a folder")
	}
}
