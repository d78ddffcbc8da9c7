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
	e, note := prepare(w, r, err)
	if IsNavigation(r) {
		writePage(w, r, e, note)
		return
	}
	writeProblem(w, r, e, note)
}

// RespondProblem answers r with err as problem+json, whoever asks. It is for
// what only programs are meant to call.
func RespondProblem(w http.ResponseWriter, r *http.Request, err error) {
	e, note := prepare(w, r, err)
	writeProblem(w, r, e, note)
}

// prepare makes the *Error to answer and sets its headers.
func prepare(w http.ResponseWriter, r *http.Request, err error) (*Error, *Note) {
	e := asError(err)
	note := NoteOf(r.Context())
	note.Err = err
	if most := note.overLimit.Load(); most > 0 && e.status() >= 500 {
		e = tooLarge(most, err)
	}
	if note.body.tooLate() && (e.status() >= 500 || e.status() == http.StatusBadRequest) {
		e = tooSlow(err)
	}
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
	return e, note
}

func writeProblem(w http.ResponseWriter, r *http.Request, e *Error, note *Note) {
	problem := map[string]any{}
	for k, v := range e.Extra {
		problem[k] = v
	}
	problem["type"] = "about:blank"
	problem["title"] = e.say(e.title())
	problem["status"] = e.status()
	problem["request_id"] = note.ID
	if e.Code != "" {
		problem["code"] = e.Code
	}
	if e.Detail != "" {
		problem["detail"] = e.say(e.Detail)
	}
	body, jerr := json.Marshal(problem)
	if jerr != nil { // an Extra that cannot be written is a mistake of ours; the rest still goes out
		body = []byte(`{"type":"about:blank","status":` + strconv.Itoa(e.status()) + `}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(e.status())
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n'))
	}
}

// seconds rounds up: whoever comes again after that long does not come early.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// Size says a number of bytes in the largest unit that it fills.
func Size(n int64) string {
	f, units := float64(n), []string{"bytes", "KiB", "MiB", "GiB"}
	for f >= 1024 && len(units) > 1 {
		f, units = f/1024, units[1:]
	}
	return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) + " " + units[0]
}
