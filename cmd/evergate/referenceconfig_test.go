package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// TestReferenceConfig: docs/reference/config.md has every key, as the schema has it: what it
// means, what it may be, its default, and whether a reload takes it.
func TestReferenceConfig(t *testing.T) {
	root := parseNode(t, config.Schema())
	c := &configReference{t: t, defs: root.at("$defs"), at: map[string]string{}}
	c.section("", root)
	c.rest()
	for _, short := range c.shorts { // whatever is there in short alone
		c.register(short.path, short.name)
		c.rest()
	}
	for _, key := range []string{"public_url", "identity", "routes"} {
		if text := withoutKey(key); !strings.Contains(text, "routes") && key != "routes" {
			t.Fatalf("the config of this test lost more than %s", key)
		} else if _, err := config.Parse("evergate.yaml", []byte(text), func(string) (string, bool) { return "", false }); err == nil {
			t.Errorf("a config without %s loads", key)
		}
	}
	known := config.KeyPaths()
	if c.keys < 200 {
		t.Errorf("got %d keys, want 200; the config knows %d paths", c.keys, len(known))
	}
	for _, path := range known {
		if !c.has(path) {
			t.Errorf("the page does not have %s", path)
		}
	}
	for path := range needRestart {
		if !c.has(path) {
			t.Errorf("the page does not have %s, which needs a restart", path)
		}
	}
	intro := "A file needs three keys: `public_url`, `identity` and `routes`. Everything else has a default.\n" +
		"[`config.example.yaml`](../../config.example.yaml) shows the keys in use, with more words; `evergate config show`\n" +
		"prints the config in force, and `evergate check` draws every fault of a file at once.\n\n" +
		"- `[]` behind a key is one entry of its list, and `NAME` a name that you choose.\n" +
		"- A *duration* is written `30s`, `15m`, `12h` or `30d`, a *size* `64KiB`, `10MiB` or `1GiB`.\n" +
		"- Every value may hold `${VAR}`, `${VAR:-default}` or `${VAR:?why it is needed}`.\n" +
		"- Relative paths are taken from the folder of the file.\n" +
		"- A change is taken at the next [reload](../reload.md), except where *restart* stands under the default.\n\n"
	holdReference(t, "config.md", "The config", intro+"## Top level\n\n"+strings.TrimSuffix(c.linked(), "\n"))
}

func withoutKey(key string) (text string) {
	for _, line := range []string{"public_url: https://apps.example.com", "identity: [{ local: { users_file: u.yaml } }]", `routes: [{ upstream: "http://127.0.0.1:9000" }]`} {
		if !strings.HasPrefix(line, key+":") {
			text += line + "\n"
		}
	}
	return text
}

// node is a JSON value whose members keep their order.
type node struct {
	names  []string
	member map[string]*node
	items  []*node
	scalar any
}

func parseNode(t *testing.T, data []byte) *node {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	next := func() json.Token {
		token, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	var value func(token json.Token) *node
	value = func(token json.Token) *node {
		switch token {
		case json.Delim('{'):
			n := &node{member: map[string]*node{}}
			for dec.More() {
				name := next().(string)
				n.names = append(n.names, name)
				n.member[name] = value(next())
			}
			next()
			return n
		case json.Delim('['):
			n := &node{items: []*node{}}
			for dec.More() {
				n.items = append(n.items, value(next()))
			}
			next()
			return n
		}
		return &node{scalar: token}
	}
	return value(next())
}

func (n *node) at(name string) *node {
	if n == nil {
		return nil
	}
	return n.member[name]
}

func (n *node) text() string {
	if n == nil || n.scalar == nil {
		return ""
	}
	return fmt.Sprint(n.scalar)
}

// configReference makes the page: a section for each mapping, where it is first met.
type configReference struct {
	t       *testing.T
	defs    *node
	out     strings.Builder
	at      map[string]string // where a definition is described
	found   []string          // every path of a key
	also    []place           // where a definition is met again
	shorts  []place           // where one stands for a longer form
	keys    int
	later   []func()
	inShort bool // within an alternative that another one follows
}

// place is where a definition is met.
type place struct{ path, name string }

// rest writes the sections that are still to come.
func (c *configReference) rest() {
	for len(c.later) > 0 {
		next := c.later[0]
		c.later = c.later[1:]
		next()
	}
}

// register has the section of a definition written, if it is met for the first time.
func (c *configReference) register(path, name string) {
	if _, seen := c.at[name]; seen {
		c.also = append(c.also, place{path, name})
		return
	}
	c.at[name] = path
	c.later = append(c.later, func() {
		fmt.Fprintf(&c.out, "## %s\n\n", path)
		c.section(path, c.defs.at(name))
	})
}

// linked is the page with its links, now that every section has its place.
func (c *configReference) linked() string {
	text := c.out.String()
	for name, path := range c.at {
		text = strings.ReplaceAll(text, "\x00"+name+"\x00", "[`"+path+"`](#"+slugOf(path)+")")
	}
	return text
}

// has reports whether a path is described, where it is or where its mapping was first met.
func (c *configReference) has(path string) bool {
	if slices.ContainsFunc(c.found, func(f string) bool {
		return f == path || strings.HasPrefix(f, path+".") || strings.HasPrefix(f, path+"[")
	}) {
		return true
	}
	for _, a := range c.also {
		if rest, ok := strings.CutPrefix(path, a.path+"."); ok && a.path != c.at[a.name] && c.has(c.at[a.name]+"."+rest) {
			return true
		}
	}
	return false
}

func (c *configReference) section(path string, of *node) {
	properties := of.at("properties")
	if properties == nil {
		c.t.Errorf("%s has no keys", path)
		return
	}
	c.out.WriteString("| key | is | default | means |\n|---|---|---|---|\n")
	for _, key := range properties.names {
		p := properties.at(key)
		full := strings.TrimPrefix(path+"."+key, ".")
		c.found = append(c.found, full)
		c.keys++
		kind := c.kind(full, p)
		def := c.byDefault(p, kind)
		for restart := range needRestart {
			if full == restart || strings.HasPrefix(full, restart+".") {
				def = strings.TrimSpace(def + " *restart*")
			}
		}
		fmt.Fprintf(&c.out, "| `%s` | %s | %s | %s |\n", key, kind, def, means(key, p.at("description").text()))
	}
	c.out.WriteString("\n")
}

// means is the description, whose first words are the key itself.
func means(key, text string) string {
	if rest, ok := strings.CutPrefix(text, key+" "); ok && !strings.Contains(key, "_") {
		return "`" + key + "` " + cell(rest)
	}
	return cell(text)
}

func (c *configReference) byDefault(p *node, kind string) string {
	d := p.at("default")
	switch {
	case d == nil && kind == "`true` or `false`":
		return "`false`"
	case d == nil:
		return ""
	case d.items != nil:
		var all []string
		for _, i := range d.items {
			all = append(all, i.text())
		}
		return "`[" + strings.Join(all, ", ") + "]`"
	case d.text() == "":
		return ""
	}
	return "`" + d.text() + "`"
}

// kind says in words what a value may be.
func (c *configReference) kind(path string, p *node) string {
	if ref := p.at("$ref").text(); ref != "" {
		return c.reference(path, strings.TrimPrefix(ref, "#/$defs/"))
	}
	if any := p.at("anyOf"); any != nil {
		var all []string
		inShort := c.inShort
		for i, a := range any.items {
			c.inShort = inShort || i < len(any.items)-1
			if k := c.kind(path, a); k != "" && !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
		c.inShort = inShort
		return strings.ReplaceAll(strings.Join(all, ", or "), "number, or size", "size")
	}
	if all := p.at("allOf"); all != nil {
		return c.kind(path, all.items[0])
	}
	if enum := p.at("enum"); enum != nil {
		var words []string
		for _, e := range enum.items {
			words = append(words, "`"+e.text()+"`")
		}
		if strings.Join(words, "") == "`true``false`" {
			return ""
		}
		return enumerate(words)
	}
	if pattern := p.at("pattern").text(); pattern != "" {
		return c.patterned(path, pattern)
	}
	if p.at("const") != nil {
		return ""
	}
	kinds := p.at("type")
	switch {
	case kinds == nil && len(p.names) == 0, kinds == nil && p.at("description") != nil:
		return "any value"
	case kinds != nil && kinds.items != nil && kinds.items[0].text() == "string":
		return "text"
	case kinds.text() == "boolean":
		return "`true` or `false`"
	case kinds.text() == "integer":
		least, most := p.at("minimum").text(), p.at("maximum").text()
		if most == "" {
			return "number"
		}
		return "number, " + least + " to " + most
	case kinds.text() == "number":
		return "number, " + p.at("minimum").text() + " to " + p.at("maximum").text()
	case kinds.text() == "array":
		return "list of " + c.kind(path+"[]", p.at("items"))
	case p.at("additionalProperties") != nil:
		return "by name: " + c.kind(path+".NAME", p.at("additionalProperties"))
	}
	c.t.Errorf("%s: the page has no words for %v", path, p.names)
	return ""
}

func (c *configReference) patterned(path, pattern string) string {
	switch {
	case strings.Contains(pattern, `ns|us|`):
		return "duration"
	case strings.Contains(pattern, "GiB"):
		return "size"
	case strings.Contains(pattern, "%$"):
		return "part such as `20%`"
	case strings.Contains(pattern, "0-9A-Fa-f:."):
		return "address or range"
	case strings.Contains(pattern, "([eE][+]?0+)?$"), pattern == "^[+-]?[0-9]+$", pattern == `\$\{`, strings.Contains(pattern, "[Dd][Ee]"):
		return "" // other ways to write what another alternative has
	}
	c.t.Errorf("%s: the page has no words for the pattern %s", path, pattern)
	return ""
}

// reference stands for the link to the section of a definition. The long form of a mapping
// comes last, and is what a place is named by.
func (c *configReference) reference(path, name string) string {
	switch {
	case name == "variable":
		return ""
	case c.inShort:
		c.shorts = append(c.shorts, place{path, name})
	default:
		c.register(path, name)
	}
	return "\x00" + name + "\x00"
}

func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// slugOf is the anchor that renderers of Markdown give a heading.
func slugOf(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.ReplaceAll(heading, "`", "")) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 0x7f && strconv.IsPrint(r) && !strings.ContainsRune("“”„…·→—–’‘×", r):
			b.WriteRune(r)
		}
	}
	return b.String()
}
