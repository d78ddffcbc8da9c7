package config_test

import (
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

func TestTreesKnowTheirLines(t *testing.T) {
	all, err := config.ReadTrees("f", []byte("a: &x 1\nb:\n  - c: two\n  - *x\n---\ntext: |\n  one\n  two\n"))
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d documents, %v, want 2", len(all), err)
	}
	list := all[0].Get("b")
	if c := list.Items[0].Get("c"); !list.IsList || c.Text != "two" || c.Line != 3 {
		t.Errorf("got %+v, want two on line 3", c)
	}
	if alias := list.Items[1]; alias.Text != "" || alias.IsMap || alias.IsList {
		t.Errorf("an alias: got %+v, want nothing", alias)
	}
	if block := all[1].Get("text"); !block.Block || block.Line != 6 || block.Text != "one\ntwo\n" {
		t.Errorf("got %+v, want a block below line 6", block)
	}
	if all[0].Get("none") != nil || (*config.Tree)(nil).Get("a") != nil {
		t.Error("what is not there: got something")
	}
	for _, bad := range []string{"a: b: c", "? [1]\n: 2\n<<: {a: 1", strings.Repeat("x", 2<<20)} {
		if _, err := config.ReadTrees("f", []byte(bad)); err == nil {
			t.Errorf("%.20q: got no error", bad)
		}
	}
}
