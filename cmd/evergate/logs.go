package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/evergate/evergate/config"
)

// newLog writes text for a person at a terminal, and JSON for everything else. Its
// level can be changed.
func newLog(w io.Writer, cfg config.Log) (*slog.Logger, *slog.LevelVar) {
	text := cfg.Format == "text"
	if cfg.Format == "" || cfg.Format == "auto" {
		f, ok := w.(*os.File)
		text = ok && term.IsTerminal(int(f.Fd()))
	}
	level := &slog.LevelVar{}
	level.Set(cfg.Level)
	opts := &slog.HandlerOptions{Level: level}
	if text {
		return slog.New(slog.NewTextHandler(w, opts)), level
	}
	return slog.New(slog.NewJSONHandler(w, opts)), level
}

// debugOnly takes what net/http says about clients (bad handshakes, strays and
// scanners) down to debug: it is no fault of the gateway's.
type debugOnly struct{ slog.Handler }

func (h debugOnly) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}
