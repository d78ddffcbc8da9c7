package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/evergate/evergate/internal/secret"
)

// namedFile is a file that a key names.
type namedFile struct {
	path, name string
	secret     bool
}

// openFiles are keys of files that hold no secret; every other key that ends in _file does,
// so that a new one is looked at without anybody thinking of it.
var openFiles = map[string]bool{"cert_file": true, "ca_file": true, "body_file": true, "logo_file": true, "logo_dark_file": true}

// namedFiles finds what the keys name.
func (c *Config) namedFiles() (all []namedFile) {
	var walk func(v reflect.Value, path string)
	add := func(v reflect.Value, path string, secret bool) {
		if v.Kind() == reflect.String && v.String() != "" {
			all = append(all, namedFile{path, v.String(), secret})
		}
	}
	walk = func(v reflect.Value, path string) {
		switch {
		case v.Kind() == reflect.Pointer && !v.IsNil():
			walk(v.Elem(), path)
		case v.Kind() == reflect.Slice && hasKeys(elem(v.Type())):
			for i := range v.Len() {
				walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
			}
		case v.Kind() == reflect.Struct && hasKeys(v.Type()):
			for i := range v.NumField() {
				key, f := v.Type().Field(i).Tag.Get("yaml"), v.Field(i)
				switch at := sub(path, key); {
				case key == "":
				case strings.HasSuffix(key, "_file") || at == "api_key.file" || strings.HasSuffix(at, ".api_key.file"):
					add(f, at, !openFiles[key])
				case at == "keys.files":
					for j := range f.Len() {
						add(f.Index(j), fmt.Sprintf("%s[%d]", at, j), true)
					}
				default:
					walk(f, at)
				}
			}
		}
	}
	walk(reflect.ValueOf(*c), "")
	return all
}

// warnFiles looks at the config itself and at the files that it names: whether they are there, and who can
// read and change them.
func (c *Config) warnFiles(warn warner) {
	missing := func(path string, err error) {
		if strings.HasPrefix(path, "identity[") || strings.HasPrefix(path, "session.") {
			warn(path, "it cannot be read here: %v", err)
		} else {
			warn(path, "it cannot be read here, and the gateway does not start without it: %v", err)
		}
	}
	if c.doc != nil && secret.HasModes {
		if fi, err := os.Stat(c.doc.name); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o002 != 0 {
			warn("", "everybody on this machine can change this file, and with it who gets in; try: chmod o-w %s", c.doc.name)
		}
	}
	for _, f := range c.namedFiles() {
		users := strings.HasSuffix(f.path, ".users_file")
		fi, err := os.Stat(f.name)
		switch {
		case err != nil && users: // made by the first user
		case err != nil:
			missing(f.path, err)
		case !secret.HasModes:
		case fi.Mode().Perm()&0o002 != 0:
			warn(f.path, "everybody on this machine can change it, and with it whom the gateway believes; try: chmod 600 %s", f.name)
		case users && fi.Mode().Perm()&0o044 != 0 && !secret.Private(fi):
			warn(f.path, "password hashes can be read by others; try: chmod 600 %s", f.name)
		case f.secret && fi.Mode().Perm()&0o004 != 0:
			warn(f.path, "everybody on this machine can read it; try: chmod 600 %s", f.name)
		}
	}
	look := func(path, name string) {
		if _, err := os.Stat(name); name != "" && err != nil {
			missing(path, err)
		}
	}
	look("pages.templates", c.Pages.Templates)
	look("pages.messages", c.Pages.Messages)
	for i := range c.Routes {
		s := c.Routes[i].Static
		if s == nil {
			continue
		}
		look(fmt.Sprintf("routes[%d].static.dir", i), s.Dir)
		if s.Fallback != "" {
			look(fmt.Sprintf("routes[%d].static.fallback", i), filepath.Join(s.Dir, s.Fallback))
		}
	}
}

// warnInline tells of secrets that are written into the config itself.
func (c *Config) warnInline(warn warner) {
	for i, id := range c.Identity {
		o := id.OIDC
		if o == nil {
			continue
		}
		path := fmt.Sprintf("identity[%d].oidc", i)
		if at := path + ".client_secret"; o.ClientSecret.IsZero() {
		} else if c.fromOutside(at) {
			warn(at, "a secret in the environment is seen by more than need it; keep it in one of its own, that is a file: client_secret_file")
		} else {
			warn(at, "a secret in this file is read by whoever reads the file; keep it in one of its own: client_secret_file")
		}
		for name := range o.ExtraParams {
			if at := path + ".extra_params." + name; soundsSecret(name) {
				warn(at, "it goes through everybody's browser and into logs: whatever is here is no secret")
			}
		}
	}
	for i := range c.Routes {
		h, path := &c.Routes[i].RequestHeaders, fmt.Sprintf("routes[%d].request_headers", i)
		for key, values := range map[string]map[string]string{"set": h.Set, "add": h.Add} {
			for name, value := range values {
				if at := fmt.Sprintf("%s.%s.%s", path, key, name); soundsSecret(name) && !strings.Contains(value, "{") && !c.fromOutside(at) {
					warn(at, "a secret in this file is read by whoever reads the file; upstream_auth: { api_key: { header: %s, file: app.key } } sends one from a file of its own", name)
				}
			}
		}
	}
}

// fromOutside reports whether the value at path comes from a variable.
func (c *Config) fromOutside(path string) bool {
	if c.doc == nil {
		return false
	}
	n := c.doc.places[path]
	return n != nil && n.Kind == yaml.ScalarNode && strings.Contains(strings.ReplaceAll(n.Value, "$${", ""), "${")
}

// soundsSecret reports whether a header or a parameter is one that credentials go in.
func soundsSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"secret", "password", "passwd", "token", "api-key", "apikey", "api_key", "authorization", "auth-key", "access-key"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
