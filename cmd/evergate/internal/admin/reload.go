package admin

import (
	"encoding/json"
	"net/http"
)

// Reloaded is the answer of /api/reload, with status 200, or 422 where the config is
// bad and the one of before is in force.
type Reloaded struct {
	OK bool `json:"ok"`
	// Changed are the keys and files that are another than before.
	Changed []string `json:"changed,omitempty"`
	// Error says what is wrong, in a line for each fault.
	Error string `json:"error,omitempty"`
	// Drawn is the same for a terminal, with the lines of the file.
	Drawn string `json:"drawn,omitempty"`
}

func (a *API) reload(w http.ResponseWriter) {
	if a.Reload == nil {
		http.Error(w, "this gateway runs without a config file", http.StatusNotImplemented)
		return
	}
	out := a.Reload()
	w.Header().Set("Content-Type", "application/json")
	if !out.OK {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	_ = json.NewEncoder(w).Encode(out)
}

// Process names the gateway's process.
type Process struct {
	PID int `json:"pid"`
}

// upgrade answers with the process that takes over, or 409 with the reason why none does.
func (a *API) upgrade(w http.ResponseWriter) {
	if a.Upgrade == nil {
		http.Error(w, "this gateway runs without a config file", http.StatusNotImplemented)
		return
	}
	pid, err := a.Upgrade()
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	answer(w, Process{pid}, nil)
}
