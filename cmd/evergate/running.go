package main

import (
	"path/filepath"
	"slices"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
)

// running tells how the file differs from what is in force. It changes nothing.
func (r *reloader) running() admin.Running {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := admin.Running{File: r.file, Asked: r.g.asked.Load(), Unanswered: r.g.unanswered.Load()}
	if abs, err := filepath.Abs(r.file); err == nil {
		out.File = abs
	}
	next, err := config.Load(r.file)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Changed = config.Diff(r.g.config(), next)
	for file, now := range look(next) {
		if was, ok := r.files[file]; ok && was != now {
			out.Changed = append(out.Changed, file)
		}
	}
	slices.Sort(out.Changed)
	if bad := r.bad.Load(); bad != nil {
		out.Error = (*bad).Error()
	}
	return out
}
