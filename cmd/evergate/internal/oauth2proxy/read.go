package oauth2proxy

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/evergate/evergate/config"
)

// Source is one file.
type Source struct {
	Name string
	Data []byte
}

// Where settings come from, the weakest first: flags win over the environment, which
// wins over a file.
const (
	fromAlpha = iota
	fromFile
	fromEnv
	fromFlags
)

// setting is one option as it stands in a source.
type setting struct {
	*option        // nil where the table has none of this name
	name    string // as it is written there
	values  []string
	file    int
	line    int
	source  int
	above   []string // the comments above it
}

// order makes lines of several files comparable.
func (s *setting) order() int { return s.file*10_000_000 + s.line }

// alpha is what the structured configuration says that flags cannot.
type alpha struct {
	upstreams []upstream
	headers   []header
	stray     []*setting
	replaces  bool // it is there, so that flags about upstreams and headers say nothing
}

// source is one file while it is read.
type source struct {
	name     string
	file     int
	lines    []string
	settings []*setting
	alpha    alpha
	form     string
	named    bool // a manifest says by an image which container is meant
}

// No configuration that people wrote comes near these.
const (
	maxSource    = 1 << 20
	mostSettings = 2000
)

// read finds out what a file is, and reads it.
func read(file int, src Source) (*source, error) {
	switch {
	case len(src.Data) > maxSource:
		return nil, fmt.Errorf("read %s: it is larger than 1 MiB", src.Name)
	case !utf8.Valid(src.Data) || bytes.IndexByte(src.Data, 0) >= 0:
		return nil, fmt.Errorf("read %s: it is not UTF-8 text", src.Name)
	}
	text := strings.TrimPrefix(strings.ReplaceAll(string(src.Data), "\r\n", "\n"), "\ufeff")
	s := &source{name: src.Name, file: file, lines: strings.Split(text, "\n")}
	first := s.firstLine()
	var err error
	switch {
	case first == "":
		return nil, fmt.Errorf("read %s: there is no setting in it", src.Name)
	case envLine.MatchString(first):
		s.form = "environment variables"
		err = s.readEnv()
	case flagLine.MatchString(first):
		s.form = "command-line flags"
		err = s.readFlags()
	case cfgLine.MatchString(first):
		s.form = "a config file"
		err = s.readConfig([]byte(text), 0)
	default:
		trees, bad := config.ReadTrees(src.Name, []byte(text))
		if bad != nil {
			return nil, fmt.Errorf("read %s: it begins neither with key = \"value\", with --flags nor with OAUTH2_PROXY_ variables, and it is no YAML: %w",
				src.Name, bad)
		}
		s.form = "a manifest"
		err = s.readYAML(trees)
	}
	if err != nil {
		return nil, err
	}
	if len(s.settings) == 0 && !s.alpha.replaces {
		return nil, fmt.Errorf("read %s: it is %s, and there is no setting of oauth2-proxy in it", src.Name, s.form)
	}
	if len(s.settings) > mostSettings {
		return nil, fmt.Errorf("read %s: it holds more than %d values", src.Name, mostSettings)
	}
	return s, nil
}

var (
	envLine  = regexp.MustCompile(`^(?:export\s+|-\s*"?)?OAUTH2_PROXY_[A-Za-z0-9_]+\s*=`)
	flagLine = regexp.MustCompile(`^(?:-\s+)?["']?(?:(?:\S*/)?oauth2-proxy\b|--?[a-z])`)
	cfgLine  = regexp.MustCompile(`^(?:[A-Za-z0-9_-]+\s*=|\[)`)
)

// firstLine is the first that is not empty and no comment.
func (s *source) firstLine() string {
	for _, l := range s.lines {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' && l != "---" {
			return l
		}
	}
	return ""
}

// add notes a setting. The values of a list are told apart by commas, as oauth2-proxy
// does.
func (s *source) add(name, value string, line, from int) {
	values := []string{value}
	if o := lookup(name); o != nil && o.kind == list {
		values = strings.Split(value, ",")
	}
	s.keep(name, values, line, from)
}

// item is one value of a list, and the line it is on.
type item struct {
	text string
	line int
}

// addList notes a list that is written as one, each value by itself.
func (s *source) addList(name string, items []item, line, from int) {
	o := lookup(name)
	if o == nil || o.kind != list || len(items) == 0 {
		var values []string
		for _, v := range items {
			values = append(values, v.text)
		}
		s.keep(name, []string{strings.Join(values, ",")}, line, from)
		return
	}
	for i, v := range items {
		s.keep(name, []string{v.text}, v.line, from)
		if i == 0 && v.line != line {
			s.settings[len(s.settings)-1].above = append(s.above(line), s.above(v.line)...)
		}
	}
}

func (s *source) keep(name string, values []string, line, from int) {
	var given []string
	for _, v := range values {
		if v = strings.TrimSpace(v); v != "" {
			given = append(given, v)
		}
	}
	kept := &setting{option: lookup(name), name: name, values: given, file: s.file, line: line, source: from}
	// Comments are told once, with the first setting of a line.
	if n := len(s.settings); n == 0 || s.settings[n-1].line != line {
		kept.above = s.above(line)
	}
	s.settings = append(s.settings, kept)
}

var aSetting = regexp.MustCompile(`^[#\s]*-*"?[A-Za-z0-9_-]+"?\s*[=:]`)

// above are the comments directly above a line, without settings that are commented out.
func (s *source) above(line int) (said []string) {
	for i := line - 2; i >= 0 && i < len(s.lines); i-- {
		l := strings.TrimSpace(s.lines[i])
		if !strings.HasPrefix(l, "#") {
			break
		}
		if words := strings.TrimSpace(strings.TrimLeft(l, "#")); words != "" && len(words) < 200 && !aSetting.MatchString(l) {
			said = append(said, words)
		}
	}
	slices.Reverse(said)
	return said
}

// wrong makes an error about a line.
func (s *source) wrong(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", s.name, line, fmt.Errorf(format, args...))
}

var (
	errNoValue   = errors.New("there is no value; write it as --flag=value")
	errOpenQuote = errors.New("a quotation mark is not closed")
)
