package web

import (
	"errors"
	"fmt"
	"html/template"
)

// funcs are what pages call to say something. Each page is parsed with those of the
// source's language, and shown with those of its reader's.
func (l *tongue) funcs() template.FuncMap {
	return template.FuncMap{
		"stylesheet": stylesheet,
		"t":          l.say,
		"strong":     func(v any) template.HTML { return template.HTML("<strong>" + l.htmlValue(v) + "</strong>") },
		"place":      l.place,
		"code":       func(v any) template.HTML { return template.HTML("<code>" + l.htmlValue(v) + "</code>") },
	}
}

// place is a host and a path on it. They are one thing, and stay in one order where the
// words around them run the other way.
func (l *tongue) place(host, path string) template.HTML {
	s := "<strong>" + template.HTMLEscapeString(host) + "</strong>" + template.HTMLEscapeString(path)
	if l.apart(host + path) {
		s = `<bdi dir="ltr">` + s + "</bdi>"
	}
	return template.HTML(s)
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
