package idp

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
)

// maxForm bounds a request body, in bytes.
const maxForm = 64 << 10

// oauthError is a refusal as OAuth words it.
type oauthError struct {
	status            int // 0 is 400
	code, description string
}

func refuse(code, description string) *oauthError {
	return &oauthError{code: code, description: description}
}

// write answers with the refusal (RFC 6749 section 5.2).
func (e *oauthError) write(w http.ResponseWriter) {
	status := e.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	body := map[string]any{"error": e.code}
	if e.description != "" {
		body["error_description"] = e.description
	}
	writeJSON(w, status, body)
}

// writeJSON answers with v, which nobody keeps unless the header says so already.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// bare answers with a status and nothing else that a client could use, as
// whatever stands before a provider does.
func bare(w http.ResponseWriter, k *Knobs, status int) {
	k.retryAfter(w, status)
	http.Error(w, http.StatusText(status), status)
}

func (k *Knobs) retryAfter(w http.ResponseWriter, status int) {
	if k.RetryAfter != "" && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) {
		w.Header().Set("Retry-After", k.RetryAfter)
	}
}

// form reads the body. No parameter may be there twice (RFC 6749 section 3.2) but
// those of which there can be several.
func form(r *http.Request) (url.Values, *oauthError) {
	if err := r.ParseForm(); err != nil {
		return nil, refuse("invalid_request", "the body is no form")
	}
	return r.PostForm, single(r.PostForm)
}

func single(v url.Values) *oauthError {
	for name, values := range v {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return refuse("invalid_request", "a parameter is there twice: "+name)
		}
	}
	return nil
}

// subset reports whether all of part are among whole.
func subset(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}
