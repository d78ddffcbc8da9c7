package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// servesSecrets finds routes that hand out what is the gateway's own: the config in file, what it
// names that is secret, and data_dir. The paths are absolute.
func (c *Config) servesSecrets(file string) (faults Faults) {
	own := append(c.SecretFiles(), SecretFile{Key: "this config", Path: file}, SecretFile{Key: "data_dir", Path: c.DataDir})
	lies := make([]string, len(own)) // where each is, wherever links lead
	check := func(key string, meets func(of *SecretFile, lies string) (what string)) {
		for i := range own {
			if lies[i] == "" {
				lies[i] = actual(own[i].Path)
			}
			if what := meets(&own[i], lies[i]); what != "" {
				f := c.Fault(key, fmt.Sprintf("everybody who may use the route would get %s (%s)", what, own[i].Key))
				f.Hint = "serve a folder that has nothing else in it"
				faults = append(faults, f)
				return
			}
		}
	}
	for i := range c.Routes {
		if s := c.Routes[i].Static; s != nil && s.Dir != "" {
			dir := actual(s.Dir)
			check(fmt.Sprintf("routes[%d].static.dir", i), func(of *SecretFile, lies string) string {
				if isWithin(lies, dir) || of.Key == "data_dir" && isWithin(dir, lies) {
					return of.Path
				}
				return ""
			})
		}
		if r := c.Routes[i].Respond; r != nil && r.BodyFile != "" {
			body := actual(r.BodyFile)
			check(fmt.Sprintf("routes[%d].respond.body_file", i), func(_ *SecretFile, lies string) string {
				if isWithin(body, lies) {
					return r.BodyFile
				}
				return ""
			})
		}
	}
	return faults
}

// isWithin reports whether path is dir or below it.
func isWithin(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// actual is path without links, as far as it is there.
func actual(path string) string {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		return at
	}
	dir, name := filepath.Split(filepath.Clean(path))
	if name == "" || dir == "" {
		return filepath.Clean(path)
	}
	return filepath.Join(actual(dir), name)
}
