package web

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed messages/*.json
var messageFiles embed.FS

// tongue is a language of the pages.
type tongue struct {
	tag  language.Tag
	rtl  bool
	says map[Message]saying
}

// saying is how a language says a Message: in one form, or in one for each plural
// category of CLDR that the language has ("one", "few", "other").
type saying struct {
	one   string
	forms map[string]string
}

// UnmarshalJSON takes a string, or an object of categories.
func (s *saying) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, &s.forms)
	}
	return json.Unmarshal(b, &s.one)
}

// MarshalJSON writes what UnmarshalJSON takes.
func (s saying) MarshalJSON() ([]byte, error) {
	if s.forms != nil {
		return json.Marshal(s.forms)
	}
	return json.Marshal(s.one)
}

// languages are those that the pages speak. The first is for whoever reads none of them.
type languages struct {
	all     []*tongue
	matcher language.Matcher
}

// english is what the source is written in. Problems for programs, and the log, say it.
var (
	spoken  = mustSpeak()
	english = spoken.all[0]
)

// mustSpeak reads what is compiled in: it fails in every test or never.
func mustSpeak() *languages {
	l := &languages{}
	names, err := fs.Glob(messageFiles, "messages/*.json")
	for _, name := range names {
		var text []byte
		if text, err = messageFiles.ReadFile(name); err != nil {
			break
		}
		var t *tongue
		if t, err = readTongue(path.Base(name), text); err != nil {
			break
		}
		l.all = append(l.all, t)
	}
	if err != nil {
		panic(err)
	}
	// The source's own language first, whatever it is called.
	slices.SortStableFunc(l.all, func(a, b *tongue) int {
		return slices.Index([]bool{true, false}, a.tag == language.English) - slices.Index([]bool{true, false}, b.tag == language.English)
	})
	l.match()
	return l
}

// with is l and what the files of an operator add to it, or say otherwise.
func (l *languages) with(files map[string][]byte) (*languages, error) {
	if len(files) == 0 {
		return l, nil
	}
	out := &languages{all: slices.Clone(l.all)}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		added, err := readTongue(name, files[name])
		if err != nil {
			return nil, err
		}
		for m, s := range added.says {
			if err := s.check(m); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		i := slices.IndexFunc(out.all, func(t *tongue) bool { return t.tag == added.tag })
		if i < 0 {
			out.all = append(out.all, added)
			continue
		}
		says := maps.Clone(out.all[i].says)
		maps.Copy(says, added.says)
		added.says = says
		out.all[i] = added
	}
	out.match()
	return out, nil
}

// check compares s with the English text that it stands for.
func (s saying) check(m Message) error {
	if _, ok := english.says[m]; !ok {
		return fmt.Errorf("no page says %q: the texts are those of the gateway's own en.json, letter by letter", m)
	}
	texts := slices.Collect(maps.Values(s.forms))
	if s.forms == nil {
		texts = []string{s.one}
	} else if s.forms["other"] == "" {
		return fmt.Errorf(`%q has no text for "other", which is for every number without one of its own`, m)
	}
	for form := range s.forms {
		if !slices.Contains([]string{"zero", "one", "two", "few", "many", "other"}, form) {
			return fmt.Errorf("%q: %q is no plural category: want zero, one, two, few, many or other", m, form)
		}
	}
	for _, text := range texts {
		for _, p := range placeholder.FindAllString(text, -1) {
			if !strings.Contains(string(m), p) {
				return fmt.Errorf("%q: %s is no part of it", m, p)
			}
		}
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

func (l *languages) match() {
	tags := make([]language.Tag, len(l.all))
	for i, t := range l.all {
		tags[i] = t.tag
	}
	l.matcher = language.NewMatcher(tags)
}

// readTongue reads a file of messages, whose name is that of its language.
func readTongue(name string, text []byte) (*tongue, error) {
	tag, err := language.Parse(strings.TrimSuffix(name, ".json"))
	if err != nil {
		return nil, fmt.Errorf("%s: its name is no language (BCP 47), such as fr.json or pt-BR.json", name)
	}
	t := &tongue{tag: tag, says: map[Message]saying{}}
	if script, _ := tag.Script(); slices.Contains(rightToLeft, script.String()) {
		t.rtl = true
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&t.says); err != nil {
		if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("%s:%d: %w", name, 1+bytes.Count(text[:min(int(bad.Offset), len(text))], []byte{'\n'}), err)
		}
		return nil, fmt.Errorf("%s: want an object with a text, or an object of plural forms, for each English text: %w", name, err)
	}
	return t, nil
}

var rightToLeft = []string{"Arab", "Hebr", "Syrc", "Thaa", "Nkoo", "Adlm", "Rohg", "Mand", "Mend", "Samr"}

// form is how l says the message of x, before its parts are filled in.
func (l *tongue) form(x Text) Message {
	s, ok := l.says[x.Message]
	if !ok && l != english {
		return english.form(x)
	}
	if !ok {
		return x.Message
	}
	if s.forms == nil {
		if s.one == "" {
			return x.Message
		}
		return Message(s.one)
	}
	n, _ := x.Args["count"].(int)
	if f := s.forms[category(l.tag, n)]; f != "" {
		return Message(f)
	}
	return Message(s.forms["other"])
}

// category is the plural category of n things.
func category(tag language.Tag, n int) string {
	switch plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0) {
	case plural.Zero:
		return "zero"
	case plural.One:
		return "one"
	case plural.Two:
		return "two"
	case plural.Few:
		return "few"
	case plural.Many:
		return "many"
	}
	return "other"
}

// maxAccept bounds what is read of a header: browsers send a dozen languages.
const maxAccept = 1 << 10

// of is the language for whoever sent h (RFC 9110 section 12.5.4).
func (l *languages) of(h http.Header) *tongue {
	accept := strings.Join(h["Accept-Language"], ",")
	if accept == "" || len(accept) > maxAccept {
		return l.all[0]
	}
	type wish struct {
		tag language.Tag
		q   float32
	}
	var wishes []wish
	for part := range strings.SplitSeq(accept, ",") { // each by itself: one that nobody knows must not take the others away
		tags, qs, err := language.ParseAcceptLanguage(part)
		if err == nil && len(tags) == 1 {
			wishes = append(wishes, wish{tags[0], qs[0]})
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return cmp.Compare(b.q, a.q) })
	tags := make([]language.Tag, len(wishes))
	for i := range wishes {
		tags[i] = wishes[i].tag
	}
	_, i, _ := l.matcher.Match(tags...)
	return l.all[i]
}

func (l *tongue) dir() string {
	if l.rtl {
		return "rtl"
	}
	return "ltr"
}
