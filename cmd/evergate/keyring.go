package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/follow"
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

// readFollowed is readKeys for whoever follows the files by seen.
func readFollowed(files []string, seen *follow.Reading) (keys []secret.Text, err error) {
	seen.Read(files, func() { keys, err = readKeys(files) })
	return keys, err
}

func loadRing(files []string, dataDir string, seen *follow.Reading) (*session.Ring, error) {
	files, err := keyFiles(files, dataDir)
	if err != nil {
		return nil, err
	}
	keys, err := readFollowed(files, seen)
	if err != nil {
		return nil, err
	}
	ring, err := session.NewRing(keys...)
	if err != nil {
		return nil, fmt.Errorf("key ring %v: %w", files, err)
	}
	return ring, nil
}

// prepareRing reads the keys of e where they are in other files than before.
func (g *gateway) prepareRing(e, before *edition) error {
	if before.cfg == nil || g.in.Users != nil || slices.Equal(e.cfg.Keys.Files, before.cfg.Keys.Files) {
		return nil
	}
	files, err := keyFiles(e.cfg.Keys.Files, e.cfg.DataDir)
	if err != nil {
		return err
	}
	seen := new(follow.Reading)
	keys, err := readFollowed(files, seen)
	if err != nil {
		return err
	}
	if _, err := session.NewRing(keys...); err != nil {
		return fmt.Errorf("key ring %v: %w", files, err)
	}
	e.use = append(e.use, func() {
		_ = g.ringAt.Close()
		_ = g.ring.Replace(keys...) // as NewRing took them
		g.ringAt = watchRing(g.ring, files, seen, g.log, g.events.Hear)
	})
	return nil
}

// ringEvery is how often the files are looked at.
const ringEvery = 2 * time.Second

// watchRing replaces the keys of ring when its files hold something else than was seen in
// them. A bad file leaves the keys of before in force.
func watchRing(ring *session.Ring, files []string, seen *follow.Reading, log *slog.Logger, heard event.Func) *follow.Files {
	return follow.Start(follow.Options{
		Files: func() []string { return files }, Seen: seen, Every: ringEvery,
		Changed: func() {
			keys, err := readFollowed(files, seen)
			if err == nil {
				err = ring.Replace(keys...)
			}
			if err != nil {
				event.Tell(context.Background(), log, heard, slog.LevelError, "the key ring has changed and cannot be used; the keys of before stay in force",
					event.Event{Name: event.KeysBad, Err: err}, slog.Any("files", files))
				return
			}
			event.Tell(context.Background(), log, heard, slog.LevelInfo, "the key ring was read again",
				event.Event{Name: event.KeysReloaded, Count: ring.Len()}, slog.Any("files", files))
		},
	})
}
