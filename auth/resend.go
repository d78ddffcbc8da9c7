package auth

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"html"
	"html/template"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

const (
	// formField is the one field of a form that asks for a kept one to be put in
	// its place.
	formField = "evergate_form"
	formID    = helperID
	// formRequest is how long such a body is: the field, "=" and the id.
	formRequest = len(formField) + 1 + formID

	formPurpose = "form"
	// maxFormCookies bounds how many kept forms one browser has cookies for.
	maxFormCookies = 8
	// formRead bounds how long reading a form takes that will be kept.
	formRead = 10 * time.Second
	// formDrain bounds how much is read of a form that is too large to keep.
	formDrain = 8 << 20
)

// Why a form is not kept.
const (
	lostKind  = "kind"
	lostLarge = "large"
	lostOver  = "over"
	lostAway  = "away"
)

var losses = map[string]web.Message{
	lostKind:  "What you were sending could not be kept.",
	lostLarge: "What you were sending could not be kept: it is larger than 64 KiB.",
	lostOver:  "What you were sending is not kept any more.",
	lostAway:  "What you were sending could not be kept: the store of kept forms is out of order for the moment.",
}

// keepForm keeps the form that r posts and gives the browser the key. Only what
// the app's own pages sent is kept: whoever lets another site fill a form for
// them must not be asked to send it. It is login's, or where that is nil of whoever signs
// in next. Lost says why nothing is kept, or "".
func (h *Handler) keepForm(w http.ResponseWriter, r *http.Request, login *Login) (id, lost string) {
	if id := h.asksFor(r); id != "" {
		return id, "" // the session ended once more, before the kept form was sent
	}
	if !keepable(r) || isFormless(r) {
		return "", lostKind
	}
	body, lost := readKept(w, r)
	if lost != "" {
		return "", lost
	}
	note := web.NoteOf(r.Context())
	id, key, err := h.cfg.Forms.keep(r.Context(), note.Client,
		form{target: target(r), contentType: r.Header.Get("Content-Type"), body: body})
	if errors.Is(err, errFormLarge) {
		return "", lostLarge
	}
	if err != nil {
		h.cfg.Log.WarnContext(r.Context(), "a form could not be kept", "request_id", note.ID, "err", err)
		return "", lostAway
	}
	if login != nil {
		if _, err := h.cfg.Forms.open(r.Context(), id, key, ownerOf(login)); err != nil {
			h.cfg.Forms.drop(r.Context(), id)
			h.cfg.Log.WarnContext(r.Context(), "a form could not be kept", "request_id", note.ID, "err", err)
			return "", lostAway
		}
	}
	rawID, _ := hex.DecodeString(id) // it is hexadecimal: Forms made it
	value, err := h.cfg.Sealer.Seal(formPurpose, hostOf(r), append(rawID, key...), formTTL)
	if err != nil {
		h.cfg.Forms.drop(r.Context(), id)
		h.cfg.Log.WarnContext(r.Context(), "a form could not be kept", "request_id", note.ID, "err", err)
		return "", lostKind
	}
	h.pruneForms(w, r)
	h.setHelper(w, formKind, id, value, formTTL)
	return id, ""
}

// readKept reads a body of at most maxForm bytes. Some of a longer one is read
// and dropped: a browser whose connection is cut while it sends shows an error
// of its own instead of our answer.
func readKept(w http.ResponseWriter, r *http.Request) (body []byte, lost string) {
	// A client that dribbles holds a connection, and not for long.
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(formRead)) // where it is not supported, the server's own applies
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	if r.ContentLength <= maxForm {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxForm+1)); err != nil {
			return nil, lostKind
		}
		if len(body) <= maxForm {
			return body, ""
		}
	}
	_, _ = io.CopyN(io.Discard, r.Body, formDrain)
	return nil, lostLarge
}

// keepable reports whether r posts a form from a page of this very origin, of a
// kind that can be sent again.
func keepable(r *http.Request) bool {
	h := r.Header
	if r.Method != http.MethodPost || h.Get("Sec-Fetch-Mode") != "navigate" || h.Get("Sec-Fetch-Site") != "same-origin" ||
		h.Get("Content-Encoding") != "" {
		return false
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case err != nil:
		return false
	case kind == "application/x-www-form-urlencoded", kind == "multipart/form-data", kind == "text/plain":
		return true
	}
	return false
}

// target is where a form goes: path and query as they came.
func target(r *http.Request) string {
	at := r.URL.EscapedPath()
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		at += "?" + r.URL.RawQuery
	}
	return at
}

// Restore puts a kept form back. If r was sent from the resend page, by the
// person who was offered the form and to where the form was going, its body and
// Content-Type become those of the form, byte for byte, once. A second click
// gets a *web.Error that says so, and so does everybody while the shelf of the forms
// is out of order. Every other request is left as it is, its body readable in full.
//
// It edits r: pass a copy. Login is who is signed in; nil restores nothing.
func (h *Handler) Restore(r *http.Request, login *Login) error {
	if login == nil {
		return nil
	}
	id := h.asksFor(r)
	if id == "" {
		return nil
	}
	kept, err := h.cfg.Forms.take(r.Context(), id, h.formKey(r, id), ownerOf(login), target(r))
	if u, ok := errors.AsType[*Unavailable](err); ok {
		return formAway(u, here(r), id)
	}
	switch {
	case errors.Is(err, errFormElsewhere):
		return nil
	case errors.Is(err, errFormSent):
		return &web.Error{Status: http.StatusConflict, Code: "form_sent", Title: "This form was sent already",
			Detail: "It went out once, with the first click, and was not sent again. If that click ended in an error, look whether it arrived.",
			Links:  []web.Link{{Text: "Go to the page", URL: here(r)}}, Err: err}
	case err != nil:
		return formGone(here(r), err)
	}
	setBody(r, kept.body)
	r.Header.Set("Content-Type", kept.contentType)
	return nil
}

func formGone(rd string, err error) error {
	return &web.Error{Status: http.StatusGone, Code: "form_gone", Title: "This form is not kept any more",
		Detail: "What you typed was kept for 10 minutes, for the person who signed in, and is gone now. It was not sent.",
		Links:  []web.Link{{Text: "Go to the page", URL: rd}}, Err: err}
}

// formAway is the answer while it cannot be told whether a form is kept.
func formAway(u *Unavailable, rd, id string) error {
	e := unavailable(u, "{what} is out of order for the moment. Your form was not sent. Try again shortly.")
	e.Links = []web.Link{{Text: "Try again", URL: own("resend", "form", id, "rd", rd)}}
	return e
}

func setBody(r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// asksFor returns the id of the kept form that r asks for, or "". The body is as
// readable afterwards as it was before.
func (h *Handler) asksFor(r *http.Request) string {
	if r.Method != http.MethodPost || r.ContentLength != int64(formRequest) || r.Header.Get("Content-Encoding") != "" || h.fromHere(r) != nil {
		return ""
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return ""
	}
	if len(h.formCookies(r)) == 0 {
		return ""
	}
	body := make([]byte, formRequest)
	n, err := io.ReadFull(r.Body, body)
	r.Body = &unread{io.MultiReader(bytes.NewReader(body[:n]), afterwards(r.Body, err)), r.Body}
	name, id, _ := strings.Cut(string(body[:n]), "=")
	if err != nil || name != formField || h.formKey(r, id) == nil {
		return ""
	}
	return id
}

// unread is a body of which a part was read and put back.
type unread struct {
	io.Reader
	io.Closer
}

// afterwards is what follows the part that was read: the rest, or the error that
// reading it met.
func afterwards(rest io.Reader, err error) io.Reader {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return rest
	}
	return failing{err}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// resendPage offers a kept form to whoever signed in in the browser that sent it.
func (h *Handler) resendPage(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	rd, id := ReturnTo(one(query, "rd")), one(query, "form")
	login, err := h.who(w, r)
	if isAnonymous(err) {
		return redirect(w, http.StatusFound, own("login", "rd", rd, "form", id))
	}
	if err != nil {
		return err
	}
	key := h.formKey(r, id)
	if key == nil {
		return formGone(rd, errFormGone)
	}
	kept, err := h.cfg.Forms.open(r.Context(), id, key, ownerOf(login))
	if u, ok := errors.AsType[*Unavailable](err); ok {
		return formAway(u, rd, id)
	}
	if errors.Is(err, errFormSent) {
		return redirect(w, http.StatusSeeOther, rd) // the Back button, or a tab restored
	}
	if err != nil {
		return formGone(rd, err)
	}
	path, _, _ := strings.Cut(kept.target, "?")
	return h.pages["resend"].Write(w, r, http.StatusOK, web.Page{
		Title: "Send your form?",
		Data: resendView{
			User: login.Identity.User, Host: r.Host, Path: path, ID: id, RD: rd, Size: web.T("{count} bytes", "count", len(kept.body)),
			// Escaped for an attribute and otherwise as it came: the URL filter of
			// html/template would respell it, and another spelling is another address.
			Action: template.HTMLAttr(`action="` + html.EscapeString(kept.target) + `"`),
		},
		Header: http.Header{
			// The app answers this form, and may redirect to another origin, which
			// form-action forbids as well.
			"Content-Security-Policy": {strings.Replace(web.ContentPolicy, "; form-action 'self'", "", 1)},
		},
	})
}

// ownerOf names the person a kept form belongs to once they signed in. It is the
// person and not the session: several tabs that sign in each start a session of
// their own, and each is to end where it wanted.
func ownerOf(login *Login) string { return login.Identity.Provider + "\x00" + login.Identity.Subject }

// formKey opens the cookie that r brings for a form. It returns nil if there is
// none, or more than one.
func (h *Handler) formKey(r *http.Request, id string) []byte {
	if !isHelperID(id) {
		return nil
	}
	value, ok := h.helperValue(r, formKind, id)
	if !ok {
		return nil
	}
	plain, err := h.cfg.Sealer.Open(formPurpose, hostOf(r), value)
	if err != nil || len(plain) != formID/2+32 || hex.EncodeToString(plain[:formID/2]) != id {
		return nil
	}
	return plain[formID/2:]
}

// formCookies returns the ids of the forms that r brings cookies for.
func (h *Handler) formCookies(r *http.Request) []string {
	var ids []string
	for _, c := range r.Cookies() {
		if id, ok := strings.CutPrefix(c.Name, h.helperName(formKind, "")); ok && len(id) == formID {
			ids = append(ids, id)
		}
	}
	return ids
}

// pruneForms deletes the cookies of forms that are gone, and the first of those
// that are not once a browser has too many.
func (h *Handler) pruneForms(w http.ResponseWriter, r *http.Request) {
	ids := h.formCookies(r)
	for i, id := range ids {
		key := h.formKey(r, id)
		if key != nil {
			if h.isKept(r.Context(), id, key) && len(ids)-i < maxFormCookies {
				continue
			}
			h.cfg.Forms.drop(r.Context(), id)
		}
		h.clearHelper(w, formKind, id)
	}
}

// isKept reports whether a form can be offered. While that cannot be told it may be
// kept, and is not called gone.
func (h *Handler) isKept(ctx context.Context, id string, key []byte) bool {
	_, err := h.cfg.Forms.open(ctx, id, key, "")
	_, unknown := errors.AsType[*Unavailable](err)
	return err == nil || unknown
}

// clearForms forgets all kept forms of this browser. One that cannot be taken off a
// shelf is forgotten all the same: its key lies in the cookie alone.
func (h *Handler) clearForms(w http.ResponseWriter, r *http.Request) {
	for _, id := range h.formCookies(r) {
		if h.formKey(r, id) != nil {
			h.cfg.Forms.drop(r.Context(), id)
		}
		h.clearHelper(w, formKind, id)
	}
}
