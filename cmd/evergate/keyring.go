package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// keyFiles are the files of the key ring: the configured ones, or one that is made
// in dataDir at the first start.
func keyFiles(files []string, dataDir string) ([]string, error) {
	if len(files) > 0 {
		return files, nil
	}
	path := filepath.Join(dataDir, "cookie.key")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := writeKey(path, session.NewKey(time.Now())); err != nil {
			return nil, err
		}
	}
	return []string{path}, nil
}

// readKeys reads the keys of the ring, in order: a line each, in one file or several.
func readKeys(files []string) (keys []secret.Text, err error) {
	for _, path := range files {
		if err := private(path); err != nil {
			return nil, err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, &hinted{fmt.Errorf("read a key of the ring: %w", err), "make one with: evergate key new --out " + path}
		}
		n := len(keys)
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				keys = append(keys, secret.New(line))
			}
		}
		if len(keys) == n {
			return nil, &hinted{fmt.Errorf("there is no key in %s", path), "make one with: evergate key new --out " + path}
		}
	}
	return keys, nil
}

func loadRing(files []string, dataDir string) (*session.Ring, error) {
	files, err := keyFiles(files, dataDir)
	if err != nil {
		return nil, err
	}
	keys, err := readKeys(files)
	if err != nil {
		return nil, err
	}
	ring, err := session.NewRing(keys...)
	if err != nil {
		return nil, fmt.Errorf("key ring %v: %w", files, err)
	}
	return ring, nil
}

// ringWatch has a ring follow its files.
type ringWatch struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// ringEvery is how often the files are looked at.
const ringEvery = 2 * time.Second

// watchRing replaces the keys of ring when what its files hold has changed. A bad
// file leaves the keys of before in force.
func watchRing(ring *session.Ring, files []string, log *slog.Logger) *ringWatch {
	ctx, stop := context.WithCancel(context.Background())
	w := &ringWatch{stop: stop}
	seen := digestOf(files)
	w.wg.Go(func() {
		tick := time.NewTicker(ringEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := digestOf(files)
			if now == seen {
				continue
			}
			seen = now
			keys, err := readKeys(files)
			if err == nil {
				err = ring.Replace(keys...)
			}
			if err != nil {
				log.Error("the key ring has changed and cannot be used; the keys of before stay in force", "event", "keys.bad", "files", files, "err", err)
				continue
			}
			log.Info("the key ring was read again", "event", "keys.reloaded", "files", files, "keys", ring.Len())
		}
	})
	return w
}

// Close ends the watch, and waits for it.
func (w *ringWatch) Close() error {
	w.stop()
	w.wg.Wait()
	return nil
}

// digestOf tells one content of the files from another, by what is read through
// links and swapped volumes.
func digestOf(files []string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, path := range files {
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%d %v\x00", len(b), err)
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
