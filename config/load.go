package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

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
	c.doc.file = path
	if faults := c.servesSecrets(); faults != nil {
		return nil, faults.Sorted()
	}
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
	if doc.root.Kind != yaml.MappingNode || doc.full() {
		return nil, doc.faults.asError()
	}
	for _, o := range c.Providers() {
		o.fill()
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		r.Match.Host = strings.ToLower(r.Match.Host)
		if r.CSRF != nil && r.CSRF.off {
			r.CSRF = nil
		}
		if r.Upstream == nil {
			continue // there is nobody to wait for
		}
		if !c.given(fmt.Sprintf("routes[%d].timeouts", i)) {
			r.Timeouts = DefaultTimeouts
		}
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
	in(&c.Audit.File) // it is written: nothing follows what it holds
	c.eachFile(in)
}

// Files are all that the config names, without doubles: with the config itself, what
// its meaning depends on.
func (c *Config) Files() (files []string) {
	seen := map[string]bool{"": true}
	c.eachFile(func(p *string) {
		if !seen[*p] {
			seen[*p] = true
			files = append(files, *p)
		}
	})
	for _, dir := range []string{c.Pages.Templates, c.Pages.Messages} {
		if dir == "" {
			continue
		}
		inside, _ := os.ReadDir(dir) // whoever reads the pages says what is wrong
		for _, f := range inside {
			files = append(files, filepath.Join(dir, f.Name()))
		}
	}
	return files
}

// eachFile calls in for the name of each file, which may be "". A key that names a
// file has its line here.
func (c *Config) eachFile(in func(*string)) {
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
	c.resolveAnswers(in)
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
	if t := c.Tracing; t != nil {
		in(&t.HeadersFile)
		if t.TLS != nil {
			in(&t.TLS.CAFile)
			in(&t.TLS.CertFile)
			in(&t.TLS.KeyFile)
		}
	}
	r := &c.Session.Redis
	in(&r.PasswordFile)
	in(&r.SentinelPasswordFile)
	if r.TLS != nil {
		in(&r.TLS.CAFile)
		in(&r.TLS.CertFile)
		in(&r.TLS.KeyFile)
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
	if !c.doc.unread[path] {
		c.doc.fault(c.doc.node(path), path, fmt.Sprintf(format, args...), hint)
	}
}

// given reports whether the file has something at path.
func (c *Config) given(path string) bool { return c.doc.places[path] != nil }
