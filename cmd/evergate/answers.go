package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/proxy"
)

// keyFault is an error, and the key of a route that it is about.
type keyFault struct {
	key string
	err error
}

// buildAnswer makes a route that answers by itself, or leaves that to a proxy in front. A
// nil log is for checking alone: the files that it names need not be there. What is in own it
// does not serve; nil is nothing.
func buildAnswer(r *config.Route, access auth.Policy, own *config.OwnFiles, log *slog.Logger) (*proxy.Route, *keyFault) {
	out := buildRoute(r, access, nil)
	var isOwn func(fs.FileInfo) bool
	if own != nil {
		isOwn = own.Has
	}
	switch {
	case r.Redirect != nil:
		out.Answer = &proxy.Redirect{To: r.Redirect.To, Status: r.Redirect.Status, KeepQuery: r.Redirect.KeepQuery}
	case r.Admin:
		out.Answer = proxy.Dashboard{}
	case r.Respond != nil:
		out.Answer = &proxy.Respond{Status: r.Respond.Status, Body: r.Respond.Body, BodyFile: r.Respond.BodyFile, ContentType: r.Respond.ContentType, Own: isOwn}
		if file := r.Respond.BodyFile; file != "" && log != nil {
			info, err := os.Stat(file)
			if err == nil && (!info.Mode().IsRegular() || info.Size() > proxy.MaxRespond) {
				err = errors.New("want a file of 1 MiB at most; larger ones are for static")
			}
			if err != nil {
				return nil, &keyFault{"respond.body_file", err}
			}
		}
	case r.Static != nil:
		static := &proxy.Static{Dir: r.Static.Dir, Index: r.Static.Index, Fallback: r.Static.Fallback, Own: isOwn}
		out.Answer = static
		if log != nil {
			if err := static.Ready(); err != nil {
				return nil, &keyFault{"static", err}
			}
		}
	}
	return out, nil
}
