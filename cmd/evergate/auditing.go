package main

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/audit"
	"github.com/evergate/evergate/session"
)

// prepareAudit opens what a config has the audit log written to, where that is another than
// before.
func (g *gateway) prepareAudit(e, before *edition) error {
	if before.cfg != nil && reflect.DeepEqual(before.cfg.Audit, e.cfg.Audit) {
		return nil
	}
	var err error
	if e.sinks, err = auditSinks(&e.cfg.Audit); err != nil {
		return err
	}
	e.use = append(e.use, func() {
		g.audit.Use(e.sinks)
		e.sinks = nil
	})
	return nil
}

func auditSinks(a *config.Audit) (all []audit.Sink, err error) {
	defer func() {
		if err != nil {
			for _, s := range all {
				_ = s.Close()
			}
			all = nil
		}
	}()
	if a.File != "" {
		s, err := audit.OpenFile(a.File)
		if err != nil {
			return all, fmt.Errorf("audit.file: %w", err)
		}
		all = append(all, s)
	}
	if a.Stdout {
		all = append(all, audit.Stream(os.Stdout, "standard output"))
	}
	if a.Syslog != nil {
		s, err := audit.Syslog(a.Syslog.Address, a.Syslog.Facility)
		if err != nil {
			return all, fmt.Errorf("audit.syslog: %w", err)
		}
		all = append(all, s)
	}
	return all, nil
}

// buildJournal returns what keeps what happened to people for their account page: in the
// store, which all gateways on it share; in this process where there is none.
func buildJournal(in parts, store session.Store, ring *session.Ring, log *slog.Logger) *auth.ShelfJournal {
	if in.Users != nil || store == nil {
		return auth.NewMemoryJournal(in.Now, log)
	}
	return auth.NewShelfJournal(hiddenShelf{shelf{session.Vault{Store: store, Ring: ring}}}, log)
}
