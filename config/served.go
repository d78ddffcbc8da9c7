package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// own is what no route may serve: the config, what it names that is secret, and data_dir.
func (c *Config) own() []SecretFile {
	all := c.SecretFiles()
	if c.doc != nil && c.doc.file != "" {
		all = append(all, SecretFile{Key: "this config", Path: c.doc.file})
	}
	if c.DataDir != "" {
		all = append(all, SecretFile{Key: dataDirKey, Path: c.DataDir})
	}
	return all
}

const dataDirKey = "data_dir"

// servesSecrets finds routes that hand out what is the gateway's own.
func (c *Config) servesSecrets() (faults Faults) {
	var served bool
	for i := range c.Routes {
		served = served || c.Routes[i].Static != nil || c.Routes[i].Respond != nil && c.Routes[i].Respond.BodyFile != ""
	}
	if !served {
		return nil
	}
	own := c.own()
	lies := make([]string, len(own)) // where each is, wherever links lead
	at := places{}
	for i := range own {
		lies[i] = actual(own[i].Path)
		at.add(lies[i])
	}
	held := c.OwnFiles()
	check := func(key string, meets func(of *SecretFile, lies string) (what string)) {
		for i := range own {
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
			dir := at.spell(actual(s.Dir))
			check(fmt.Sprintf("routes[%d].static.dir", i), func(of *SecretFile, lies string) string {
				if isWithin(lies, dir) || of.Key == dataDirKey && isWithin(dir, lies) {
					return of.Path
				}
				return ""
			})
		}
		if r := c.Routes[i].Respond; r != nil && r.BodyFile != "" {
			body := at.spell(actual(r.BodyFile))
			info, err := os.Stat(r.BodyFile)
			linked := err == nil && held.Has(info) // in data_dir, by a link that is the file itself
			check(fmt.Sprintf("routes[%d].respond.body_file", i), func(of *SecretFile, lies string) string {
				if isWithin(body, lies) || linked && of.Key == dataDirKey {
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
