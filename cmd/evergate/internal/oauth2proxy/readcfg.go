package oauth2proxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// readConfig reads the form of oauth2-proxy.cfg, which is TOML. Lines count from
// offset.
func (s *source) readConfig(data []byte, offset int) (err error) {
	// The parser is fast, and young: whatever it trips over is an error of this file.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read %s: it is no TOML that can be read: %v", s.name, p)
		}
	}()
	seen := map[string]int{}
	table := ""
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, _ = keyOf(&p, e)
			continue
		case unstable.KeyValue:
		default:
			continue
		}
		name, line := keyOf(&p, e)
		line += offset
		if table != "" {
			name = table + "." + name
		}
		if first := seen[name]; first != 0 {
			return s.wrong(line, "%s is there twice, first on line %d; oauth2-proxy does not start with it: remove one", name, first)
		}
		seen[name] = line
		v := e.Value()
		if v.Kind != unstable.Array {
			s.add(name, string(v.Data), line, fromFile)
			continue
		}
		var items []item
		for it := v.Children(); it.Next(); {
			n := it.Node()
			at := line
			if n.Raw.Length > 0 {
				at = p.Shape(n.Raw).Start.Line + offset
			}
			items = append(items, item{string(n.Data), at})
		}
		s.addList(name, items, line, fromFile)
	}
	if err := p.Error(); err != nil {
		line := 0
		if pe, ok := errors.AsType[*unstable.ParserError](err); ok && len(pe.Highlight) > 0 {
			line = p.Shape(p.Range(pe.Highlight)).Start.Line + offset
		}
		// The message may repeat a part of the line, and that may be a secret.
		if line == 0 {
			return fmt.Errorf("read %s: it is no TOML; want lines such as key = \"value\"", s.name)
		}
		return s.wrong(line, "it is no TOML; want a line such as key = \"value\" or key = [ \"a\", \"b\" ]")
	}
	return nil
}

// keyOf is the key of an expression, dotted, and the line that it is on.
func keyOf(p *unstable.Parser, e *unstable.Node) (string, int) {
	var parts []string
	line := 1
	for it := e.Key(); it.Next(); {
		n := it.Node()
		if len(parts) == 0 {
			line = p.Shape(n.Raw).Start.Line
		}
		parts = append(parts, string(n.Data))
	}
	return strings.Join(parts, "."), line
}
