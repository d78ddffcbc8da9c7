package config

import (
	"bytes"
	"errors"
	"io"

	"gopkg.in/yaml.v3"
)

// Tree is a value of a YAML file that is not ours, with the line it stands on: for
// commands that read what other programs are configured with. Aliases are left out;
// what they stand for is there where it was named.
type Tree struct {
	// Keys is set for a mapping, and Items are its values; a list has Items alone.
	Keys  []*Tree
	Items []*Tree
	// IsMap and IsList are both false for a scalar, which has Text.
	IsMap, IsList bool
	Text          string
	// Line counts from 1. That of a block of text is the line before its first.
	Line  int
	Block bool
}

// Get is the value under key in a mapping, or nil.
func (t *Tree) Get(key string) *Tree {
	if t == nil {
		return nil
	}
	for i, k := range t.Keys {
		if k.Text == key {
			return t.Items[i]
		}
	}
	return nil
}

// maxTree bounds what is read of other programs.
const maxTree = 1 << 20

// ReadTrees reads every document of a YAML file. The error is Faults.
func ReadTrees(name string, data []byte) (all []*Tree, err error) {
	if len(data) > maxTree {
		return nil, Faults{{File: name, Msg: "the file is larger than 1 MiB"}}
	}
	d := newDocument(name, data)
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		n, err := d.next(dec)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, Faults{d.syntax(err)}
		case len(n.Content) > 0:
			all = append(all, treeOf(n.Content[0]))
		}
	}
}

func treeOf(n *yaml.Node) *Tree {
	t := &Tree{Line: n.Line}
	switch n.Kind {
	case yaml.MappingNode:
		t.IsMap = true
		for i := 0; i+1 < len(n.Content); i += 2 {
			t.Keys = append(t.Keys, treeOf(n.Content[i]))
			t.Items = append(t.Items, treeOf(n.Content[i+1]))
		}
	case yaml.SequenceNode:
		t.IsList = true
		for _, c := range n.Content {
			t.Items = append(t.Items, treeOf(c))
		}
	case yaml.ScalarNode:
		t.Text, t.Block = n.Value, n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	}
	return t
}
