package web

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"sync"
)

// Look is how the pages look and which languages they speak. The zero value is the
// gateway's own.
type Look struct {
	speaks *languages
	made   sync.Map // *template.Template by made
}

// made is a page in a language.
type made struct {
	page *Pages
	in   *tongue
}

var ownLook = &Look{}

// tongue is the language for whoever sent r.
func (k *Look) tongue(r *http.Request) *tongue {
	if k.speaks == nil {
		return spoken.of(r.Header)
	}
	return k.speaks.of(r.Header)
}

// template is p in a language, ready to be executed. It is made when it is first needed,
// and lasts as long as the look.
func (k *Look) template(p *Pages, in *tongue) (*template.Template, error) {
	key := made{p, in}
	if t, ok := k.made.Load(key); ok {
		return t.(*template.Template), nil
	}
	t, err := p.t.Clone()
	if err != nil {
		return nil, fmt.Errorf("clone a page: %w", err)
	}
	got, _ := k.made.LoadOrStore(key, t.Funcs(in.funcs()))
	return got.(*template.Template), nil
}

// funcs are what pages call to say something. Each page is parsed with those of the
// source's language, and shown with those of its reader's.
func (l *tongue) funcs() template.FuncMap {
	return template.FuncMap{
		"stylesheet": stylesheet,
		"t":          l.say,
		"strong":     func(v any) template.HTML { return template.HTML("<strong>" + l.htmlValue(v) + "</strong>") },
		"code":       func(v any) template.HTML { return template.HTML("<code>" + l.htmlValue(v) + "</code>") },
	}
}

// say is "t" in templates: a message and the parts of it, by name, or all of them in an
// Args; or a Text.
func (l *tongue) say(what any, args ...any) (template.HTML, error) {
	var x Text
	switch w := what.(type) {
	case Text:
		if x = w; len(args) > 0 {
			return "", errors.New("t: a Text has its parts already")
		}
		return l.html(x), nil
	case Message:
		x.Message = w
	case string:
		x.Message = Message(w)
	default:
		return "", fmt.Errorf("t: %T is no text", what)
	}
	if len(args) == 1 {
		all, ok := args[0].(Args)
		if !ok {
			return "", fmt.Errorf("t %q: want a name before each part", x.Message)
		}
		x.Args = all
		return l.html(x), nil
	}
	if len(args)%2 != 0 {
		return "", fmt.Errorf("t %q: want a name before each part", x.Message)
	}
	x.Args = make(Args, len(args)/2)
	for i := 0; i < len(args); i += 2 {
		name, ok := args[i].(string)
		if !ok {
			return "", fmt.Errorf("t %q: want a name before each part, got %v", x.Message, args[i])
		}
		x.Args[name] = args[i+1]
	}
	return l.html(x), nil
}
