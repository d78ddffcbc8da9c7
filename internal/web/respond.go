package web

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Respond answers r with err: a page for a person, problem+json (RFC 9457) for
// a program. The cause goes to the access line.
func Respond(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	note := NoteOf(r.Context())
	note.Err = err
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Trailer"} {
		h.Del(name) // of the answer that is not coming
	}
	for name, values := range e.Header {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(e.RetryAfter)))
	}
	h.Set("X-Request-Id", note.ID)
	if IsNavigation(r) {
		writePage(w, r, e, note)
		return
	}
	problem := map[string]any{}
	for k, v := range e.Extra {
		problem[k] = v
	}
	problem["type"] = "about:blank"
	problem["title"] = e.title()
	problem["status"] = e.status()
	problem["request_id"] = note.ID
	if e.Code != "" {
		problem["code"] = e.Code
	}
	if e.Detail != "" {
		problem["detail"] = e.Detail
	}
	body, jerr := json.Marshal(problem)
	if jerr != nil { // an Extra that cannot be written is a mistake of ours; the rest still goes out
		body = []byte(`{"type":"about:blank","status":` + strconv.Itoa(e.status()) + `}`)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(e.status())
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n'))
	}
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
