package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
)

// buildLook makes the pages look as the config says. For checking alone the files need not
// be there.
func buildLook(cfg *config.Config, checking bool) (*web.Look, error) {
	p := &cfg.Pages
	l := web.LookConfig{
		Name: p.Name, Help: p.Help,
		Colors: web.Colors{Accent: p.Colors.Accent, AccentDark: p.Colors.AccentDark, Ground: p.Colors.Ground, GroundDark: p.Colors.GroundDark},
	}
	for _, link := range p.Links {
		l.Links = append(l.Links, web.FooterLink{Text: link.Text, URL: link.URL})
	}
	for _, read := range []struct {
		key string
		do  func() error
	}{
		{"logo_file", func() (err error) { l.Logo, err = readAsset(p.LogoFile, web.MaxLogo); return err }},
		{"logo_dark_file", func() (err error) { l.LogoDark, err = readAsset(p.LogoDarkFile, web.MaxLogo); return err }},
		{"messages", func() (err error) { l.Messages, err = readMessages(p.Messages); return err }},
		{"templates", func() (err error) {
			if p.Templates != "" {
				l.Templates, err = web.LoadTemplates(p.Templates, auth.PageSamples())
			}
			return err
		}},
	} {
		err := read.do()
		if checking && errors.Is(err, fs.ErrNotExist) {
			continue // which check warns of
		}
		if err != nil {
			return nil, config.Faults{cfg.Fault("pages."+read.key, err.Error())}
		}
	}
	look, err := web.NewLook(l)
	if bad, ok := errors.AsType[*web.LookError](err); ok {
		return nil, config.Faults{cfg.Fault("pages."+bad.Key, bad.Err.Error())}
	}
	return look, err
}

// readAsset reads a file of at most that many bytes, and says so of a longer one.
func readAsset(name string, most int64) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > most || fi.Size() == 0 {
		return nil, fmt.Errorf("%s: want a file of 1 byte to %s", filepath.Base(name), web.Size(most))
	}
	return os.ReadFile(name)
}

const maxMessages = 1 << 20

// readMessages reads the files of a folder that are messages.
func readMessages(dir string) (map[string][]byte, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		if files[e.Name()], err = readAsset(filepath.Join(dir, e.Name()), maxMessages); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no file such as de.json in %s", dir)
	}
	return files, nil
}
