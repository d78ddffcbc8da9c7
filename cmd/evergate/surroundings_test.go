package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/evergate/evergate/internal/secret"
)

func TestProgramThatEverybodyCanReplace(t *testing.T) {
	if !secret.HasModes {
		t.Skip("the mode of a file tells nothing here")
	}
	for _, c := range []struct {
		name                  string
		outer, folder, itself os.FileMode
		want                  string // of what can be written, below the test's folder
	}{
		{"nothing", 0o755, 0o755, 0o755, ""},
		{"the program", 0o755, 0o755, 0o757, "outer/folder/evergate"},
		{"its folder", 0o755, 0o757, 0o755, "outer/folder"},
		{"the folder above", 0o777, 0o755, 0o755, "outer"},
		{"a folder for everybody's own files", 0o777 | os.ModeSticky, 0o755, 0o755, ""},
		{"a group may", 0o775, 0o775, 0o775, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			outer := filepath.Join(dir, "outer")
			folder := filepath.Join(outer, "folder")
			program := filepath.Join(folder, "evergate")
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(program, nil, 0o700); err != nil {
				t.Fatal(err)
			}
			for path, mode := range map[string]os.FileMode{outer: c.outer, folder: c.folder, program: c.itself} {
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
			}
			want := ""
			if c.want != "" {
				want = filepath.Join(dir, c.want)
			}
			if got := openTo(program); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
