package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Load reads, decodes and validates a file. Relative paths in it are taken
// from its own folder. The error is Faults, or the reason why the file cannot
// be read.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c, err := Parse(path, data, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	c.resolve(filepath.Dir(path))
	return c, nil
}

// Parse is Load for text that is at hand. Relative paths stay as they are.
func Parse(name string, data []byte, getenv func(string) (string, bool)) (*Config, error) {
	doc, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	c := Default()
	c.doc = doc
	d := &decoder{document: doc, getenv: getenv}
	d.decode(doc.root, reflect.ValueOf(&c).Elem(), "")
	c.TLS.fill()
	for _, o := range c.Providers() {
		o.fill()
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		for key, t := range map[string]struct{ set, to *time.Duration }{
			"connect":         {&r.Timeouts.Connect, &DefaultTimeouts.Connect},
			"response_header": {&r.Timeouts.ResponseHeader, &DefaultTimeouts.ResponseHeader},
			"idle":            {&r.Timeouts.Idle, &DefaultTimeouts.Idle},
		} {
			if !c.given(fmt.Sprintf("routes[%d].timeouts.%s", i, key)) {
				*t.set = *t.to
			}
		}
		r.Match.Host = strings.ToLower(r.Match.Host)
	}
	c.validate()
	if err := doc.faults.asError(); err != nil {
		return nil, err
	}
	return &c, nil
}

// resolve makes paths relative to the file's folder absolute in it.
func (c *Config) resolve(dir string) {
	in := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	in(&c.DataDir)
	in(&c.TLS.CertFile)
	in(&c.TLS.KeyFile)
	if c.TLS.ACME != nil {
		in(&c.TLS.ACME.CAFile)
	}
	for i := range c.Keys.Files {
		in(&c.Keys.Files[i])
	}
	for _, r := range c.Routes {
		if r.Upstream != nil && r.Upstream.TLS != nil {
			in(&r.Upstream.TLS.CAFile)
			in(&r.Upstream.TLS.CertFile)
			in(&r.Upstream.TLS.KeyFile)
		}
		if r.UpstreamAuth != nil {
			for _, file := range r.UpstreamAuth.files() {
				in(file.name)
			}
		}
	}
	for i := range c.Identity {
		if c.Identity[i].Local != nil {
			in(&c.Identity[i].Local.UsersFile)
		}
		if o := c.Identity[i].OIDC; o != nil {
			in(&o.ClientSecretFile)
			in(&o.ClientKeyFile)
			in(&o.CAFile)
		}
	}
}

// Fault makes a positioned fault of what a part says of the value at path,
// such as "routes[2].match". Where nothing stands at path, it points at the
// nearest thing around it.
func (c *Config) Fault(path, msg string) *Fault {
	if c.doc == nil {
		return &Fault{File: "config", Path: path, Msg: msg}
	}
	return c.doc.at(c.doc.node(path), path, msg, "")
}

// node finds what stands at path, or around it.
func (d *document) node(path string) *yaml.Node {
	for {
		if n := d.places[path]; n != nil {
			return n
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return d.root
		}
		path = path[:i]
	}
}

// wrong notes a fault of the value at path.
func (c *Config) wrong(hint, path, format string, args ...any) {
	c.doc.fault(c.doc.node(path), path, fmt.Sprintf(format, args...), hint)
}

// given reports whether the file has something at path.
func (c *Config) given(path string) bool { return c.doc.places[path] != nil }
