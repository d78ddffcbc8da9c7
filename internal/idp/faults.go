package idp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// spoil answers a token request as the knobs say, or not at all, and reports
// whether that was it.
func (p *Provider) spoil(w http.ResponseWriter, r *http.Request, k *Knobs) bool {
	switch {
	case k.Hang:
		select {
		case <-r.Context().Done():
		case <-p.closed:
		}
		panic(http.ErrAbortHandler)
	case k.Redirect != "":
		http.Redirect(w, r, k.Redirect, http.StatusTemporaryRedirect)
	case k.HTMLBody:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>Welcome</title><p>Please accept the terms of this network."))
	case k.TokenError != "":
		k.retryAfter(w, k.TokenStatus)
		(&oauthError{status: k.TokenStatus, code: k.TokenError, description: k.TokenErrorDescription}).write(w)
	case k.TokenStatus != 0:
		bare(w, k, k.TokenStatus)
	default:
		return false
	}
	return true
}

// writeAnswer writes a good answer, less what the knobs take from it.
func (p *Provider) writeAnswer(w http.ResponseWriter, k *Knobs, answer map[string]any) {
	if k.OmitAccessToken {
		delete(answer, "access_token")
	}
	if k.ExpiresIn != 0 {
		answer["expires_in"] = k.ExpiresIn
	}
	if n, ok := answer["expires_in"].(int); ok && k.ExpiresInString {
		answer["expires_in"] = strconv.Itoa(n)
	}
	if k.OmitExpiresIn {
		delete(answer, "expires_in")
	}
	if k.TokenType != "" {
		answer["token_type"] = k.TokenType
	}
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if k.HugeBody {
		// Still JSON: what bounds the reader has to be a limit, and not a fault.
		body = append(bytes.TrimSuffix(body, []byte("}")), `,"padding":"`...)
		body = append(append(body, bytes.Repeat([]byte("x"), 4<<20)...), `"}`...)
	}
	if k.MalformedJSON {
		body = body[:len(body)/2]
	}
	if k.RewriteTokenAnswer != nil {
		body = k.RewriteTokenAnswer(body)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	_, _ = w.Write(body)
}
