package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxFile bounds what is read: a hundred thousand routes come to half of it.
const maxFile = 16 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// document is a parsed file: its root, its lines, and the faults so far.
type document struct {
	name   string
	file   string // where it was read; "" is nowhere
	lines  []string
	root   *yaml.Node
	faults Faults
	// where each value stands, by path
	places map[string]*yaml.Node
	// what was told of as unreadable, by path: no check has more to say of it
	unread map[string]bool
	// what the expressions come to so far
	expressions int
	// asked hears what the checks want of a value; nil for everybody but the schema
	asked func(path string, want bounds)
}

func newDocument(name string, data []byte) *document {
	d := &document{name: name, lines: strings.Split(string(data), "\n"), places: map[string]*yaml.Node{}, unread: map[string]bool{}}
	for i, line := range d.lines {
		d.lines[i] = strings.TrimSuffix(line, "\r")
	}
	return d
}

// parse reads one YAML document into nodes.
func parse(name string, data []byte) (*document, error) {
	d := newDocument(name, data)
	switch {
	case len(data) > maxFile:
		return d, Faults{{File: name, Msg: "the file is larger than 16 MiB"}}
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		return d, Faults{{File: name, Msg: "the file is not UTF-8 text"}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	doc, err := d.next(dec)
	if errors.Is(err, io.EOF) || (err == nil && (len(doc.Content) == 0 || isNull(doc.Content[0]))) {
		return d, Faults{{File: name, Msg: "the file is empty", Hint: "write one with: evergate init"}}
	}
	if err != nil {
		return d, Faults{d.syntax(err)}
	}
	d.root = doc.Content[0]
	second, err := d.next(dec)
	if err == nil {
		at := second
		if len(second.Content) > 0 {
			at = second.Content[0]
		}
		d.fault(at, "", "the file holds a second document", "everything belongs in one; remove the line ---")
	} else if !errors.Is(err, io.EOF) {
		d.faults = append(d.faults, d.syntax(err))
	}
	d.plain(d.root, nil, 0)
	return d, nil
}

// next decodes a document; the parser's panics become errors.
func (d *document) next(dec *yaml.Decoder) (n *yaml.Node, err error) {
	n = &yaml.Node{}
	return n, safely(func() error { return dec.Decode(n) })
}

func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	return f()
}

var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// syntax makes a fault of the parser's own error, which holds a line at best.
func (d *document) syntax(err error) *Fault {
	m := syntaxLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	f := &Fault{File: d.name, Msg: "the file is not YAML: " + err.Error()}
	if m != nil {
		f.Msg = "the file is not YAML: " + m[2]
		f.Line, _ = strconv.Atoi(m[1])
	}
	if at := d.broken(); at > 0 {
		f.Line, f.Hint = at, "look at the indentation here, and at what is still open: a quote, a bracket, a key without its colon"
	}
	f.Line = min(max(f.Line, 1), len(d.lines))
	f.Column = 1
	if f.Line <= len(d.lines) {
		f.source = d.lines[f.Line-1]
		f.Column = len(f.source) - len(strings.TrimLeft(f.source, " ")) + 1
		if rest := f.source[f.Column-1:]; strings.HasPrefix(rest, "\t") {
			f.Msg, f.Hint = "the file is not YAML: a tab does not indent a line", "write spaces in its place"
		}
		f.width = len(strings.TrimSpace(f.source))
	}
	return f
}

// broken finds the line at which the file stops being YAML, or 0: the parser tells where
// the mapping around it begins at best. The lines before it are YAML by themselves, those
// up to it are not, and a few more do not mend that.
func (d *document) broken() int {
	const longest, more, tries = 32 << 10, 12, 4
	size := 0
	for _, line := range d.lines {
		size += len(line) + 1
	}
	if size > longest {
		return 0
	}
	well := func(lines int) bool {
		var n yaml.Node
		err := safely(func() error { return yaml.Unmarshal([]byte(strings.Join(d.lines[:lines], "\n")+"\n"), &n) })
		return err == nil
	}
	good := 0
	for range tries {
		bad := len(d.lines)
		if well(bad) {
			return 0
		}
		for good+1 < bad {
			if middle := (good + bad) / 2; well(middle) {
				good = middle
			} else {
				bad = middle
			}
		}
		// Something that goes over several lines is no YAML until its last one.
		next := bad
		for i := bad + 1; i <= min(bad+more, len(d.lines)); i++ {
			if well(i) {
				next = i
			}
		}
		if next == bad {
			return bad
		}
		good = next
	}
	return 0
}

// What no config comes near, and what keeps the work for a file in proportion to its size:
// paths are as long as keys are long and mappings are deep.
const (
	maxDepth = 64
	maxKey   = 256
	// maxEntries bounds a list of mappings, such as routes. Lists of words have no bound.
	maxEntries = 100_000
	// maxFaults are noted; of these maxShown are told.
	maxFaults, maxShown = 2000, 200
)

// step is one step of a path, which is put together for faults alone.
type step struct {
	of    *step
	key   string
	index int // of a list, where key is ""
}

func (s *step) String() string {
	switch {
	case s == nil:
		return ""
	case s.key == "":
		return fmt.Sprintf("%s[%d]", s.of, s.index)
	}
	return sub(s.of.String(), s.key)
}

// plain refuses what makes a file mean something else than it seems to.
func (d *document) plain(n *yaml.Node, at *step, depth int) {
	switch {
	case d.full():
		return
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.unreadable(n, at.String(), "anchors and aliases are not understood here", "write the value out")
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.unreadable(n, at.String(), "tags ("+n.Tag+") are not understood here", "remove it")
	case depth > maxDepth:
		d.unreadable(n, "", fmt.Sprintf("it is nested more than %d deep", maxDepth), "close what is open before it")
		n.Content = nil
		return
	}
	if n.Kind != yaml.MappingNode {
		for i, c := range n.Content {
			d.plain(c, &step{of: at, index: i}, depth+1)
		}
		return
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch first := seen[k.Value]; {
		case k.Kind != yaml.ScalarNode:
			d.fault(k, at.String(), "a key must be a plain word", "")
		case len(k.Value) > maxKey:
			d.fault(k, at.String(), fmt.Sprintf("a key has %d bytes at most, and this one has %d", maxKey, len(k.Value)), "")
			n.Content[i+1] = &yaml.Node{Kind: yaml.ScalarNode, Line: v.Line, Column: v.Column}
			k.Value = k.Value[:maxKey]
			continue
		case k.Tag == "!!merge":
			d.fault(k, at.String(), "merge keys are not understood here", "write the keys out")
		case first != nil:
			d.fault(k, at.String(), fmt.Sprintf("the key %q is there twice", k.Value), fmt.Sprintf("the first is on line %d", first.Line))
		default:
			seen[k.Value] = k
		}
		d.plain(v, &step{of: at, key: k.Value}, depth+1)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func sub(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// shortened leaves out the middle of a message that repeats a very long value.
func shortened(s string) string {
	const longest = 600
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest/2], "") + " … " + strings.ToValidUTF8(s[len(s)-longest/2:], "")
}

// fault notes what is wrong with n.
func (d *document) fault(n *yaml.Node, path, msg, hint string) {
	if !d.full() {
		d.faults = append(d.faults, d.at(n, path, msg, hint))
	}
}

// unreadable is fault for a value of which nothing is known but this.
func (d *document) unreadable(n *yaml.Node, path, msg, hint string) {
	d.unread[path] = true
	d.fault(n, path, msg, hint)
}

// full reports whether there is more wrong than anybody reads.
func (d *document) full() bool { return len(d.faults) >= maxFaults }

func (d *document) at(n *yaml.Node, path, msg, hint string) *Fault {
	f := &Fault{File: d.name, Path: path, Msg: shortened(msg), Hint: shortened(hint), Line: 1, Column: 1, width: 1}
	if n != nil && n.Line > 0 {
		f.Line, f.Column = n.Line, n.Column
		if n.Kind == yaml.ScalarNode {
			f.width = utf8.RuneCountInString(n.Value)
			if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
				f.width += 2
			}
		}
	}
	if f.Line <= len(d.lines) {
		f.source = d.lines[f.Line-1]
	}
	return f
}
