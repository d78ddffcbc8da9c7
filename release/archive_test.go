package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestArchive takes the way of docs/install.md, with the checksums of the release.
func TestArchive(t *testing.T) {
	need(t, "sha256sum", "coreutils")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder(t, made))); err != nil {
		t.Fatal(err)
	}
	var said string
	for _, line := range documented(t, "An archive") {
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", line)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		said += string(out)
	}
	for _, want := range []string{"evergate_1.2.3_linux_amd64.tar.gz: OK", "evergate 1.2.3 (commit ", "is sound"} {
		if !strings.Contains(said, want) {
			t.Errorf("got %q, want %q in it", said, want)
		}
	}
	if strings.Contains(said, "warnings") && !strings.Contains(said, "0 warnings") {
		t.Errorf("got %q", said)
	}
}

// TestChecksums: nothing of a release is without one.
func TestChecksums(t *testing.T) {
	dir := folder(t, made)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	sums := read(t, filepath.Join(dir, "SHA256SUMS"))
	for _, e := range entries {
		if e.Name() != "SHA256SUMS" && strings.Count(sums, "  "+e.Name()+"\n") != 1 {
			t.Errorf("%s is not in SHA256SUMS", e.Name())
		}
		if fi, err := e.Info(); err != nil || fi.Mode().Perm() != 0o644 {
			t.Errorf("%s: got mode %v and %v", e.Name(), fi.Mode(), err)
		}
	}
}

// TestArchives looks into the archive of each platform: what is there, and that the
// program is for that platform and needs no library of it.
func TestArchives(t *testing.T) {
	for name := range strings.SplitSeq(testTargets(), ",") {
		target, _ := targetOf(name)
		t.Run(name, func(t *testing.T) {
			top := "evergate_1.2.3_" + target.os + "_" + target.arch
			path := filepath.Join(folder(t, made), top)
			program, entries := "evergate", []string(nil)
			dir := t.TempDir()
			if target.os == "windows" {
				program = "evergate.exe"
				entries = unzip(t, path+".zip", dir)
			} else {
				entries = untargz(t, path+".tar.gz", dir)
			}
			want := []string{top + "/"}
			for _, name := range []string{"CHANGELOG.md", "LICENSE", "README.md", "THIRD_PARTY_LICENSES", "config.example.yaml", program} {
				want = append(want, top+"/"+name)
			}
			if !slices.Equal(entries, want) {
				t.Errorf("got %v, want %v", entries, want)
			}
			wantProgram(t, target, filepath.Join(dir, top, program))
		})
	}
}

func wantProgram(t *testing.T, target target, path string) {
	t.Helper()
	switch target.os {
	case "linux":
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[target.arch]; f.Machine != want {
			t.Errorf("got a program for %v, want %v", f.Machine, want)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("it is not static: %v", p.Type)
			}
		}
	case "darwin":
		f, err := macho.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if want := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[target.arch]; f.Cpu != want {
			t.Errorf("got a program for %v, want %v", f.Cpu, want)
		}
	case "windows":
		f, err := pe.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if want := map[string]uint16{"amd64": pe.IMAGE_FILE_MACHINE_AMD64, "arm64": pe.IMAGE_FILE_MACHINE_ARM64}[target.arch]; f.Machine != want {
			t.Errorf("got a program for %#x, want %#x", f.Machine, want)
		}
	}
	b := read(t, path)
	for _, trace := range []string{workDir, "/evergate-release-", "/pkg/mod/"} {
		if strings.Contains(b, trace) {
			t.Errorf("the program knows of the folder %s, where it was built", trace)
		}
	}
}

// untargz unpacks an archive, and returns its names in their order.
func untargz(t *testing.T, path, dir string) (names []string) {
	t.Helper()
	for range 2 { // once to look, once to unpack
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		if names != nil {
			if err := untar(z, dir); err != nil {
				t.Fatal(err)
			}
			break
		}
		for tr := tar.NewReader(z); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			executable := strings.HasSuffix(h.Name, "/evergate") || strings.HasSuffix(h.Name, "/")
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || (h.Mode == 0o755) != executable {
				t.Errorf("%s: got %d:%d %q, mode %o", h.Name, h.Uid, h.Gid, h.Uname, h.Mode)
			}
			names = append(names, h.Name)
		}
	}
	return names
}

func unzip(t *testing.T, path, dir string) (names []string) {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	return names
}
