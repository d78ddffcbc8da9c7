package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mostLinks bounds the links that are followed for one name, as systems do.
const mostLinks = 40

// actual is where path leads: absolute and without links, also where the end of it is not there
// yet. Two names of one place are the same then, whichever folder a relative one is from.
func actual(path string) string {
	if !filepath.IsAbs(path) {
		if dir, err := os.Getwd(); err == nil {
			// Join would take the .. behind a link for the folder that the link is in.
			path = dir + string(filepath.Separator) + path
		}
	}
	return leadsTo(path, mostLinks)
}

func leadsTo(path string, links int) string {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		return at
	}
	volume := filepath.VolumeName(path)
	rest := strings.TrimRight(path[len(volume):], string(filepath.Separator))
	i := strings.LastIndexByte(rest, filepath.Separator)
	if i < 0 {
		return filepath.Clean(path)
	}
	dir, name := volume+rest[:i+1], rest[i+1:]
	if i == 0 && (name == "." || name == "..") {
		return filepath.Clean(dir)
	}
	dir = leadsTo(dir, links)
	to, err := os.Readlink(filepath.Join(dir, name))
	if err != nil || links == 0 {
		return filepath.Join(dir, name)
	}
	// A link to what is not there yet is no other place than what will be there.
	if !filepath.IsAbs(to) {
		to = dir + string(filepath.Separator) + to
	}
	return leadsTo(to, links-1)
}

// places are folders and files by the one name that they go by here, for whatever has several
// without a symbolic link: hard links, mounts of a folder elsewhere, and names that differ in
// case where the file system does not mind.
type places map[string]fs.FileInfo

// add takes in path and the folders that it is in.
func (p places) add(path string) {
	for {
		if _, ok := p[path]; ok {
			return
		}
		info, err := os.Stat(path)
		if err != nil {
			info = nil // not there yet
		}
		p[path] = info
		up := filepath.Dir(path)
		if up == path {
			return
		}
		path = up
	}
}

// spell is path by the name of the nearest of the places that it is, or is in.
func (p places) spell(path string) string {
	for at, rest := path, ""; ; {
		if _, ok := p[at]; ok {
			return filepath.Join(at, rest)
		}
		if info, err := os.Stat(at); err == nil {
			for name, is := range p {
				if is != nil && os.SameFile(info, is) {
					return filepath.Join(name, rest)
				}
			}
		}
		up := filepath.Dir(at)
		if up == at {
			return path
		}
		at, rest = up, filepath.Join(filepath.Base(at), rest)
	}
}
