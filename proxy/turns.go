package proxy

import (
	"net/http"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/web"
)

const (
	// turnPause is how long whoever was sent round is not sent round again. The browser
	// says so itself, by a cookie; this is for one that keeps none.
	turnPause = 10 * time.Second
	// maxTurns bounds how many are remembered. One that is forgotten costs somebody a
	// redirect.
	maxTurns = 4096
)

// turns remember who was sent round, by session and network: a thief elsewhere does not
// keep the owner from getting their cookie. The zero value is ready for use.
type turns struct {
	mu sync.Mutex // guards at
	at map[string]time.Time
}

// take reports whether r may be sent round now, and remembers that it is.
func (t *turns) take(r *http.Request, d *Decision, now time.Time) bool {
	who := web.Network(web.NoteOf(r.Context()).Client).String()
	if d.Login != nil && d.Login.Session != nil {
		who += " " + d.Login.Session.ID()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.at[who]) < turnPause {
		return false
	}
	if len(t.at) >= maxTurns {
		for k, at := range t.at {
			if now.Sub(at) >= turnPause {
				delete(t.at, k)
			}
		}
		if len(t.at) >= maxTurns {
			clear(t.at)
		}
	}
	if t.at == nil {
		t.at = map[string]time.Time{}
	}
	t.at[who] = now
	return true
}
