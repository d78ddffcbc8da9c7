package main

import (
	"errors"
	"io/fs"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
)

// buildErrorPages reads the operator's own pages; nil where there are none. For
// checking alone the folder need not be there.
func buildErrorPages(cfg *config.Config, checking bool) (*web.ErrorPages, error) {
	if cfg.Pages.Templates == "" {
		return nil, nil
	}
	pages, err := web.LoadErrorPages(cfg.Pages.Templates)
	if checking && errors.Is(err, fs.ErrNotExist) {
		return nil, nil // which check warns of
	}
	if err != nil {
		return nil, config.Faults{cfg.Fault("pages.templates", err.Error())}
	}
	return pages, nil
}
