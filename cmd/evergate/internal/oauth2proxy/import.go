package oauth2proxy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/config"
)

// Options are what the sources do not say.
type Options struct {
	// PublicURL takes the place of redirect_url; "" does not.
	PublicURL string
	// ReadFile reads a file that a source names: the list of addresses, nothing else.
	ReadFile func(name string) ([]byte, error)
}

// Result is a config of Evergate.
type Result struct {
	Config []byte
	// Forms say what each source was taken for.
	Forms []string
	// Carried and Noted count settings: those that became lines, and those that became
	// notes alone.
	Carried, Noted int
	// Todo is what has to be done before the config serves.
	Todo []string
}

// importer makes a config of settings.
type importer struct {
	Options
	sources  []*source
	settings []*setting
	wins     map[*option][]*setting
	done     map[*setting]bool
	carried  int
	errs     []error
	todo     []string

	root     *outline
	sections map[string]*outline

	publicURL string
	name      string // of the provider
	kind      string
	rules     []*setting // what allow is made of
	shared    []*setting // what all routes have
	gaps      []gap      // what routes are missing
}

// Import reads sources and writes a config that config.Parse takes, or says why not.
func Import(sources []Source, o Options) (*Result, error) {
	x := &importer{Options: o, wins: map[*option][]*setting{}, done: map[*setting]bool{}, root: &outline{}, sections: map[string]*outline{}}
	for i, src := range sources {
		s, err := read(i, src)
		if err != nil {
			return nil, err
		}
		x.sources = append(x.sources, s)
		x.settings = append(x.settings, s.settings...)
		x.settings = append(x.settings, s.alpha.stray...)
	}
	x.choose()
	x.server()
	x.identity()
	x.session()
	x.routes()
	x.leftover()
	if len(x.errs) > 0 {
		return nil, errors.Join(x.errs...)
	}
	r := &Result{Config: []byte(x.render()), Carried: x.carried, Noted: len(x.settings) - x.carried, Todo: x.todo}
	for _, s := range x.sources {
		r.Forms = append(r.Forms, s.name+" is "+s.form)
	}
	if _, err := config.Parse("the config made of it", r.Config, func(string) (string, bool) { return "", false }); err != nil {
		return nil, fmt.Errorf("what comes out would not load; change this in the source, and import again: %w", err)
	}
	return r, nil
}

// choose finds which settings count: those of the strongest source, and of one source
// the last, or all of a list. Variables replace each other, as they do for a shell.
func (x *importer) choose() {
	for _, s := range x.settings {
		if s.option == nil || len(s.values) == 0 || s.values[0] == elsewhere && !s.secret {
			continue
		}
		before := x.wins[s.option]
		switch {
		case len(before) > 0 && before[0].source > s.source:
		case len(before) > 0 && before[0].source == s.source && before[0].file == s.file && s.kind == list && s.source != fromEnv:
			x.wins[s.option] = append(before, s)
		default:
			x.wins[s.option] = []*setting{s}
		}
	}
}

// get is the setting that counts, or nil.
func (x *importer) get(flag string) *setting {
	all := x.wins[byName[strings.ReplaceAll(flag, "-", "_")]]
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

func (x *importer) text(flag string) string {
	if s := x.get(flag); s != nil {
		return s.values[0]
	}
	return ""
}

// all are the values of a list, each with where it stands.
func (x *importer) all(flag string) (values []string, from []*setting) {
	for _, s := range x.wins[byName[strings.ReplaceAll(flag, "-", "_")]] {
		for _, v := range s.values {
			values = append(values, v)
			from = append(from, s)
		}
	}
	return values, from
}

// is reads a boolean.
func (x *importer) is(flag string, def bool) bool {
	s := x.get(flag)
	if s == nil {
		return def
	}
	b, err := strconv.ParseBool(strings.ToLower(s.values[0]))
	if err != nil {
		x.fail(s, "want true or false")
	}
	return b
}

// lasts reads a duration, as Go writes it.
func (x *importer) lasts(flag string) (time.Duration, *setting) {
	s := x.get(flag)
	if s == nil {
		return 0, nil
	}
	d, err := time.ParseDuration(s.values[0])
	if err != nil || d < 0 {
		x.fail(s, "want a duration such as 168h or 30s")
	}
	return d, s
}

// fail notes an error that a person has to mend in the source.
func (x *importer) fail(s *setting, format string, args ...any) {
	err := fmt.Errorf("%s:%d: %s: %s", x.sources[s.file].name, s.line, s.name, fmt.Sprintf(format, args...))
	if !slices.ContainsFunc(x.errs, func(e error) bool { return e.Error() == err.Error() }) {
		x.errs = append(x.errs, err)
	}
}

// where names a line.
func (x *importer) where(file, line int) string {
	if len(x.sources) > 1 {
		return fmt.Sprintf("%s:%d", x.sources[file].name, line)
	}
	return fmt.Sprintf("line %d", line)
}

// capital begins a sentence.
func capital(s string) string {
	if strings.HasPrefix(s, "line ") {
		return "L" + s[1:]
	}
	return s
}

// put writes the lines that a setting has become, below what is to be said of them.
func (x *importer) put(to *outline, s *setting, lines []string, notes ...string) *outline {
	above := x.above(s)
	if len(notes) > 0 || len(lines) != 1 {
		above = append(above, comment(capital(x.where(s.file, s.line))+", "+s.name+": "+strings.Join(notes, " "))...)
	}
	kid := to.add(s.order(), append(above, lines...)...)
	if len(notes) == 0 && len(lines) == 1 {
		return x.made(kid, s)
	}
	x.use(s)
	return kid
}

// made says after the last line of an outline which settings it comes from.
func (x *importer) made(of *outline, from ...*setting) *outline {
	for _, s := range from {
		if s != nil && !slices.Contains(of.from, s) {
			x.use(s)
			of.from = append(of.from, s)
		}
	}
	slices.SortStableFunc(of.from, func(a, b *setting) int { return a.order() - b.order() })
	var at []string
	for _, s := range of.from {
		if w := x.where(s.file, s.line); !slices.Contains(at, w) {
			at = append(at, w)
		}
	}
	of.tail = strings.Join(at, ", ")
	if len(at) > 1 && len(x.sources) == 1 {
		of.tail = "lines " + strings.ReplaceAll(of.tail, "line ", "")
	}
	return of
}

// above are the comments of the source above a setting, once.
func (x *importer) above(s *setting) (lines []string) {
	if s == nil || x.done[s] {
		return nil
	}
	for _, l := range s.above {
		if !x.tells(l) {
			lines = append(lines, comment(l)...)
		}
	}
	return lines
}

// use marks settings that have become lines.
func (x *importer) use(all ...*setting) {
	for _, s := range all {
		if s != nil && !x.done[s] {
			x.done[s] = true
			x.carried++
		}
	}
}

// remark says something of a setting where nothing has become of it.
func (x *importer) remark(to *outline, s *setting, notes ...string) {
	above := x.above(s)
	x.done[s] = true
	to.add(s.order(), append(above, comment(capital(x.where(s.file, s.line))+", "+s.name+": "+strings.Join(notes, " "))...)...)
}

// tells reports whether a text holds a secret of the sources.
func (x *importer) tells(l string) bool {
	return slices.ContainsFunc(x.settings, func(s *setting) bool {
		return s.option != nil && s.secret && slices.ContainsFunc(s.values, func(v string) bool { return len(v) > 3 && strings.Contains(l, v) })
	})
}

// leftover says of every setting that has become nothing why, and what to do instead.
func (x *importer) leftover() {
	for _, s := range x.settings {
		if x.done[s] {
			continue
		}
		to := x.root
		if s.option != nil && x.sections[s.at] != nil {
			to = x.sections[s.at]
		}
		switch {
		case s.option == nil:
			x.remark(to, s, "This is no option that the importer knows. Look it up, and see config.example.yaml.")
		case len(s.values) == 0:
			x.remark(to, s, "It is empty, and says nothing.")
		case s.values[0] == elsewhere:
			x.remark(to, s, "Its value is kept elsewhere, in a Secret or a ConfigMap. Import again with the value in its place, or write the line yourself. "+s.note)
		case !slices.Contains(x.wins[s.option], s):
			x.remark(to, s, "It is set again on "+x.where(x.get(s.flag).file, x.get(s.flag).line)+", which counts.")
		case s.same != "" && strings.EqualFold(s.same, s.values[0]):
			x.remark(to, s, "Evergate does so by itself.")
		case s.fate != none && s.note == "":
			x.remark(to, s, "With the rest of this configuration it has no effect.")
		default:
			x.remark(to, s, s.note)
		}
	}
}

func (x *importer) render() string {
	var b strings.Builder
	b.WriteString("# Made by `evergate import oauth2-proxy`. Read every comment before this serves: each tells of a\n" +
		"# line that has no counterpart, or means something else here. docs/migrate-oauth2-proxy.md tells the\n" +
		"# steps, config.example.yaml explains every key. Check it with: evergate check FILE\n")
	x.root.sort()
	for i, k := range x.root.kids {
		if i == 0 || k.indent > 0 || x.root.kids[i-1].indent > 0 {
			b.WriteByte('\n') // sections stand apart
		}
		k.write(&b, 0)
	}
	return b.String()
}
