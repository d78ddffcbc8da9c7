package proxy

import (
	"bytes"
	"mime/multipart"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// pageForm is a form of a page, with what a browser would send that fills in nothing.
type pageForm struct {
	action    string // as it is written; "" is the page itself
	base      string // of the page, which an action is relative to; "" is the page itself
	method    string // lower case; "" is get
	multipart bool
	odd       string // an encoding that is none of the two
	values    url.Values

	user, password string // names of the fields to fill in
	passwords      int    // how many fields for passwords there are
	button         bool   // the default button is among the values
}

// findForm finds the first form with a field for a password, and with one for a user
// where one is wanted. Names that are "" are found by themselves: the only password
// field, and the last field for text before it.
func findForm(page []byte, userField, passwordField string, wantUser bool) (form *pageForm, ok bool) {
	var (
		z     = html.NewTokenizer(bytes.NewReader(page))
		f     *pageForm
		base  string
		pick  *choice
		good  = func() bool { return f != nil && f.fits(userField, passwordField, wantUser) }
		close = func() { f, pick = nil, nil }
	)
	z.SetMaxBuf(maxPage)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return f, good() // a form that is never closed ends with the page
		case html.EndTagToken:
			switch name, _ := z.TagName(); string(name) {
			case "form":
				if good() {
					return f, true
				}
				close()
			case "select":
				pick.end(f)
				pick = nil
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			a := attributes(t.Attr)
			switch {
			case t.Data == "base" && base == "":
				base = a["href"]
			case t.Data == "form" && f == nil: // one in another is not one
				f = newPageForm(a, base)
			case f == nil:
			case t.Data == "input":
				f.input(a, passwordField == "" || a["name"] == passwordField)
			case t.Data == "button" && (a["type"] == "" || strings.EqualFold(a["type"], "submit")):
				f.press(a)
			case t.Data == "select":
				pick = &choice{name: a["name"]}
			case t.Data == "option" && pick != nil:
				pick.option(a)
			}
		}
	}
}

func attributes(all []html.Attribute) map[string]string {
	a := map[string]string{}
	for _, one := range all {
		if _, twice := a[one.Key]; !twice { // the first counts
			a[one.Key] = one.Val
		}
	}
	return a
}

func newPageForm(a map[string]string, base string) *pageForm {
	f := &pageForm{action: strings.TrimSpace(a["action"]), base: base, method: strings.ToLower(a["method"]), values: url.Values{}}
	switch kind := strings.ToLower(a["enctype"]); kind {
	case "", "application/x-www-form-urlencoded":
	case "multipart/form-data":
		f.multipart = true
	default:
		f.odd = kind
	}
	return f
}

func (f *pageForm) input(a map[string]string, wanted bool) {
	_, checked := a["checked"]
	_, disabled := a["disabled"]
	name, value := a["name"], a["value"]
	switch kind := strings.ToLower(a["type"]); kind {
	case "password":
		if f.passwords++; wanted && f.password == "" {
			f.password = name
			return
		}
		f.values.Add(name, "")
		return
	case "submit", "image":
		f.press(a)
		return
	case "button", "reset", "file":
		return
	case "checkbox", "radio":
		if !checked {
			return
		}
		if _, given := a["value"]; !given {
			value = "on"
		}
	case "hidden":
	default: // text, by whatever name
		if f.passwords == 0 && name != "" {
			f.user = name
		}
	}
	if name != "" && !disabled {
		f.values.Add(name, value)
	}
}

// press notes the button that a form is sent by where somebody presses Enter.
func (f *pageForm) press(a map[string]string) {
	if name := a["name"]; !f.button && name != "" && !strings.EqualFold(a["type"], "image") {
		f.values.Add(name, a["value"])
	}
	f.button = true
}

// choice is a select element.
type choice struct {
	name, value    string
	found, settled bool
}

func (p *choice) option(a map[string]string) {
	_, selected := a["selected"]
	if value, given := a["value"]; given && (selected && !p.settled || !p.found) {
		p.value, p.found, p.settled = value, true, selected
	}
}

func (p *choice) end(f *pageForm) {
	if p != nil && f != nil && p.found && p.name != "" {
		f.values.Add(p.name, p.value)
	}
}

func (f *pageForm) fits(userField, passwordField string, wantUser bool) bool {
	if f.password == "" || passwordField == "" && f.passwords != 1 {
		return false
	}
	if userField != "" {
		if _, there := f.values[userField]; !there {
			return false
		}
		f.user = userField
	}
	return !wantUser || f.user != ""
}

// encode is the body of the form, filled in.
func (f *pageForm) encode(values url.Values) (body []byte, contentType string, err error) {
	if !f.multipart {
		return []byte(values.Encode()), "application/x-www-form-urlencoded", nil
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, all := range values {
		for _, value := range all {
			if err := w.WriteField(name, value); err != nil {
				return nil, "", err
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), w.FormDataContentType(), nil
}
