package admin

import "net/http"

// Running is the answer of /api/config: which config is in force.
type Running struct {
	// File is where it was read from, as an absolute path.
	File string `json:"file"`
	// Changed are the keys and files that say something else by now.
	Changed []string `json:"changed,omitempty"`
	// Error says why the file as it is now cannot be used.
	Error string `json:"error,omitempty"`
	// Asked is how many questions of a proxy in front were answered since the start, and
	// Unanswered how many came from a stranger or were not clear.
	Asked      int64 `json:"asked,omitempty"`
	Unanswered int64 `json:"unanswered,omitempty"`
}

func (a *API) running(w http.ResponseWriter) {
	if a.Running == nil {
		http.Error(w, "this gateway runs without a config file", http.StatusNotImplemented)
		return
	}
	answer(w, a.Running(), nil)
}
