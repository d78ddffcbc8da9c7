package dashboard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/internal/event"
)

// configView is the config in force.
type configView struct {
	// File is nil where there is none.
	File *admin.Running
	// Since is when it came into force.
	Since Cell
	// Digest is that of Text, to compare gateways by.
	Digest string
	// Text is what `evergate config show` prints.
	Text string
	// Reloadable says that there is a file to read again.
	Reloadable bool
	// Said is what came of reading it again just now.
	Said, Error string
	AsOf        Cell
}

func (h *Handler) showConfig(w http.ResponseWriter, r *http.Request, v visitor, said string) {
	h.writeConfig(w, r, v, http.StatusOK, configView{Said: said})
}

func (h *Handler) writeConfig(w http.ResponseWriter, r *http.Request, v visitor, status int, view configView) {
	var text bytes.Buffer
	if err := h.src.Config().WriteEffective(&text); err != nil {
		http.Error(w, "the config cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256(text.Bytes())
	now := h.now()
	view.Text, view.Digest, view.AsOf = text.String(), hex.EncodeToString(sum[:6]), moment(now, now)
	view.Since = moment(h.src.Started, now)
	if last := h.src.History.lastApplied(); last != nil {
		view.Since = moment(last.At, now)
	}
	if h.src.File != nil {
		file := h.src.File()
		view.File, view.Reloadable = &file, h.src.Reload != nil
	}
	h.render(w, r, status, "config", page{Title: "Config", Here: "config", Visitor: v, Data: view})
}

// reload reads the file again.
func (h *Handler) reload(w http.ResponseWriter, r *http.Request, v visitor) {
	if h.src.Reload == nil {
		http.Error(w, "this gateway runs without a config file", http.StatusNotImplemented)
		return
	}
	h.tell(r, slog.LevelInfo, "the config is read again, as the dashboard asked", event.Event{Name: event.AdminReloaded, Actor: v.actor})
	out := h.src.Reload()
	switch {
	case !out.OK:
		h.writeConfig(w, r, v, http.StatusUnprocessableEntity, configView{Error: out.Error})
	case len(out.Changed) == 0:
		h.showConfig(w, r, v, "The file was read again, and is what was in force.")
	default:
		h.showConfig(w, r, v, "The file was read again and is in force. It changed: "+strings.Join(out.Changed, ", ")+".")
	}
}
