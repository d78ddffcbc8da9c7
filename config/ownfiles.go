package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// OwnFiles knows the files that no route may serve by what they are, not by their names: a link
// may come, or lead elsewhere, after the config was looked at. It may be used by several
// goroutines at once.
type OwnFiles struct {
	own []SecretFile

	mu   sync.Mutex // guards what follows
	at   time.Time  // of the look; zero is never
	held []fs.FileInfo
}

// OwnFiles are the config's own file, what it names that is secret, and what is in data_dir.
func (c *Config) OwnFiles() *OwnFiles { return &OwnFiles{own: c.own()} }

// ownEvery is for how long a look at the files counts: they are renewed by being replaced.
const ownEvery = time.Second

// Has reports whether a file is one of them.
func (o *OwnFiles) Has(file fs.FileInfo) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.at.IsZero() || now.Sub(o.at) >= ownEvery {
		o.look()
		o.at = now
	}
	for _, is := range o.held {
		if os.SameFile(file, is) {
			return true
		}
	}
	return false
}

func (o *OwnFiles) look() {
	o.held = o.held[:0]
	for i := range o.own {
		if o.own[i].Key == dataDirKey {
			o.lookInto(o.own[i].Path)
		} else {
			o.take(o.own[i].Path)
		}
	}
}

// mostOwn bounds the look into the folders of data_dir, which may have much else in them.
const mostOwn = 4096

// lookInto takes in the files of data_dir and of its folders; nothing of the gateway's is deeper.
func (o *OwnFiles) lookInto(dir string) {
	inside, _ := os.ReadDir(dir) // what cannot be read here is not there yet
	var folders []string
	for _, d := range inside {
		if path := filepath.Join(dir, d.Name()); !o.take(path) && d.IsDir() {
			folders = append(folders, path)
		}
	}
	left := mostOwn
	for _, dir := range folders {
		inside, _ := os.ReadDir(dir)
		for _, d := range inside {
			if left--; left < 0 {
				return
			}
			o.take(filepath.Join(dir, d.Name()))
		}
	}
}

// take takes in what is a file, wherever links lead.
func (o *OwnFiles) take(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	o.held = append(o.held, info)
	return true
}
