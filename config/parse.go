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

// maxFile bounds what is read: no sane file of ours comes near.
const maxFile = 1 << 20

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
	lines  []string
	root   *yaml.Node
	faults Faults
	// where each value stands, by path
	places map[string]*yaml.Node
	// asked hears what the checks want of a value; nil for everybody but the schema
	asked func(path string, want bounds)
}

// parse reads one YAML document into nodes.
func parse(name string, data []byte) (*document, error) {
	d := &document{name: name, lines: strings.Split(string(data), "\n"), places: map[string]*yaml.Node{}}
	for i, line := range d.lines {
		d.lines[i] = strings.TrimSuffix(line, "\r")
	}
	switch {
	case len(data) > maxFile:
		return d, Faults{{File: name, Msg: "the file is larger than 1 MiB"}}
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
	d.plain(d.root, "")
	return d, nil
}

// next decodes a document; the parser's panics become errors.
func (d *document) next(dec *yaml.Decoder) (n *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	n = &yaml.Node{}
	return n, dec.Decode(n)
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
	if f.Line == 0 {
		f.Line = 1
	}
	f.Column = 1
	if f.Line <= len(d.lines) {
		f.source = d.lines[f.Line-1]
		f.Column = len(f.source) - len(strings.TrimLeft(f.source, " ")) + 1
		f.width = len(strings.TrimSpace(f.source))
	}
	return f
}

// plain refuses what makes a file mean something else than it seems to.
func (d *document) plain(n *yaml.Node, path string) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.fault(n, path, "anchors and aliases are not understood here", "write the value out")
		return
	case n.Style&yaml.TaggedStyle != 0:
		d.fault(n, path, "tags ("+n.Tag+") are not understood here", "remove it")
	}
	if n.Kind != yaml.MappingNode {
		for i, c := range n.Content {
			d.plain(c, fmt.Sprintf("%s[%d]", path, i))
		}
		return
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch first := seen[k.Value]; {
		case k.Kind != yaml.ScalarNode:
			d.fault(k, path, "a key must be a plain word", "")
		case k.Tag == "!!merge":
			d.fault(k, path, "merge keys are not understood here", "write the keys out")
		case first != nil:
			d.fault(k, path, fmt.Sprintf("the key %q is there twice", k.Value), fmt.Sprintf("the first is on line %d", first.Line))
		default:
			seen[k.Value] = k
		}
		d.plain(v, sub(path, k.Value))
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func sub(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// fault notes what is wrong with n.
func (d *document) fault(n *yaml.Node, path, msg, hint string) {
	d.faults = append(d.faults, d.at(n, path, msg, hint))
}

func (d *document) at(n *yaml.Node, path, msg, hint string) *Fault {
	f := &Fault{File: d.name, Path: path, Msg: msg, Hint: hint, Line: 1, Column: 1, width: 1}
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
		f.width = max(1, min(f.width, utf8.RuneCountInString(f.source)-f.Column+1))
	}
	return f
}
