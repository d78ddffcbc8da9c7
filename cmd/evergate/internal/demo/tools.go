package demo

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

const (
	maxSlow = 60_000  // ms
	maxBig  = 1024    // MiB
	maxEcho = 1 << 20 // bytes of a body
)

// slow answers after ?ms= milliseconds.
func (a *App) slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.FormValue("ms"))
	if err != nil || ms < 0 || ms > maxSlow {
		http.Error(w, "Say how long to wait, up to a minute: /slow?ms=1500", http.StatusBadRequest)
		return
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		text(w, "Here it is, after %d ms.\n", ms)
	case <-r.Context().Done():
		http.Error(w, "The demo app is stopping.", http.StatusServiceUnavailable)
	}
}

// big streams ?mb= MiB, of which no more than one buffer is ever held.
func (a *App) big(w http.ResponseWriter, r *http.Request) {
	mb, err := strconv.Atoi(r.FormValue("mb"))
	if err != nil || mb < 0 || mb > maxBig {
		http.Error(w, fmt.Sprintf("Say how much, up to %d MiB: /big?mb=100", maxBig), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(mb<<20))
	if r.Method == http.MethodHead {
		return
	}
	piece := bytes.Repeat([]byte("evergate demo\n\n\n"), 64<<10/16)
	for range mb << 20 / len(piece) {
		if r.Context().Err() != nil {
			return
		}
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// echo returns the request as the app saw it, with its secrets shortened.
func (a *App) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEcho))
	if err != nil {
		http.Error(w, fmt.Sprintf("The body did not arrive whole, or it is longer than %d MiB.", maxEcho>>20), http.StatusRequestEntityTooLarge)
		return
	}
	shown := r.Clone(r.Context())
	shown.Header = shortened(r.Header)
	head, err := httputil.DumpRequest(shown, false)
	if err != nil {
		http.Error(w, "The demo app could not write the request down.", http.StatusInternalServerError)
		return
	}
	text(w, "%s%s", head, body)
}

// status answers with the status that the path names.
func (a *App) status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "Name a final status: /status/404", http.StatusBadRequest)
		return
	}
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code) // neither has a body
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, "%d %s, as you asked.\n", code, http.StatusText(code))
}

func text(w http.ResponseWriter, format string, args ...any) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, format, args...)
}
