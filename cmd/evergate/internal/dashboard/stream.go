package dashboard

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

const (
	beat       = time.Second
	silent     = 15 * time.Second // after which a comment shows that the stream lives
	maxStreams = 100              // pages that are open at a time
)

// stream keeps an open page up to date: an event stream of JSON objects, each with the
// parts that changed.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, v visitor) {
	if h.streams.Add(1) > maxStreams {
		h.streams.Add(-1)
		w.Header().Set("Retry-After", "30")
		http.Error(w, "as many pages are open as can be kept up to date", http.StatusServiceUnavailable)
		return
	}
	defer h.streams.Add(-1)
	parts := h.overviewParts
	if r.URL.Query().Get("page") == "timeline" {
		parts = h.timelineParts
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // nginx in front of a published one keeps nothing back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	controller := http.NewResponseController(w)
	var over <-chan time.Time
	if !v.ends.IsZero() {
		timer := time.NewTimer(v.ends.Sub(h.now()))
		defer timer.Stop()
		over = timer.C
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	sent, last := map[string][]byte{}, time.Now()
	for first := true; ; first = false {
		text, err := changes(parts(), sent)
		switch {
		case err != nil:
			return
		case first:
			text = append([]byte("retry: 2000\n"), text...)
		case text == nil && time.Since(last) >= silent:
			text = []byte(":\n\n")
		}
		if text != nil {
			last = time.Now()
			if _, err := w.Write(text); err != nil || controller.Flush() != nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-r.Context().Done(): // also when the session of a published one ends
			return
		case <-h.ctx.Done():
			return
		case <-v.done:
			return
		case <-over:
			return
		}
	}
}

// changes is the event that tells what is another than sent, or nil, and notes it there.
func changes(parts map[string]any, sent map[string][]byte) ([]byte, error) {
	fresh := map[string]json.RawMessage{}
	for name, part := range parts {
		text, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(sent[name], text) {
			sent[name], fresh[name] = text, text
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(fresh)
	return append(append([]byte("data: "), text...), "\n\n"...), err
}

// stateOf is the line on top.
type stateOf struct {
	Level string   `json:"level"`
	Title string   `json:"title"`
	Lines []string `json:"lines"`
}

// overviewParts are those of the first page, by the ids of its elements: cells for facts,
// rows for tables.
func (h *Handler) overviewParts() map[string]any {
	o := h.overview()
	parts := map[string]any{"as-of": o.AsOf, "state": stateOf{o.Level, titles[o.Level], o.State}, "chart": o.Chart, "bars": o.Due}
	for _, f := range o.Facts {
		parts["fact-"+f.ID] = f.Cell
	}
	for _, t := range []Table{o.Providers, o.Upstreams, o.Routes, o.Renewals, o.Upcoming, o.Recent} {
		parts["rows-"+t.ID] = t.rows()
	}
	return parts
}

func (h *Handler) timelineParts() map[string]any {
	v := h.timelineView()
	return map[string]any{"as-of": v.AsOf, "rows-timeline": v.Timeline.rows()}
}

// rows are never null: an empty table says so.
func (t *Table) rows() [][]Cell {
	if t.Rows == nil {
		return [][]Cell{}
	}
	return t.Rows
}
