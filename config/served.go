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
	fault := func(path, what string, of SecretFile) {
		f := c.Fault(path, fmt.Sprintf("everybody who may use the route would get %s (%s)", what, of.Key))
		f.Hint = "serve a folder that has nothing else in it"
		faults = append(faults, f)
	}
	for i := range c.Routes {
		for _, of := range own {
			if s := c.Routes[i].Static; s != nil && s.Dir != "" && (isWithin(of.Path, s.Dir) || of.Key == "data_dir" && isWithin(s.Dir, of.Path)) {
				fault(fmt.Sprintf("routes[%d].static.dir", i), of.Path, of)
				break
			}
			if r := c.Routes[i].Respond; r != nil && r.BodyFile != "" && (r.BodyFile == of.Path || isWithin(r.BodyFile, of.Path)) {
				fault(fmt.Sprintf("routes[%d].respond.body_file", i), r.BodyFile, of)
				break
			}
		}
	}
	return faults
}

// isWithin reports whether path is dir or below it, wherever links lead.
func isWithin(path, dir string) bool {
	rel, err := filepath.Rel(actual(dir), actual(path))
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
