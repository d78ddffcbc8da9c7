package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // says how
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // the same
)

// packages writes the deb and the rpm of a binary.
func (w *work) packages(b binary, shells map[string][]byte) error {
	dir := filepath.Join(w.scratch, "package-"+b.arch)
	stage, err := w.stage(dir, b, shells)
	if err != nil {
		return err
	}
	for _, kind := range []string{kindDeb, kindRPM} {
		if !w.wants(kind) {
			continue
		}
		packager, err := nfpm.Get(kind)
		if err != nil {
			return fmt.Errorf("find the maker of %s packages: %w", kind, err)
		}
		info := nfpm.WithDefaults(w.info(b, kind, dir, stage))
		if err := nfpm.Validate(info); err != nil {
			return fmt.Errorf("describe the %s: %w", kind, err)
		}
		path := filepath.Join(w.out, packager.ConventionalFileName(info))
		if err := writeFile(path, func(f io.Writer) error { return packager.Package(info, f) }); err != nil {
			return err
		}
	}
	return nil
}

// info describes a package. Its script's names are those of the files in packaging/.
func (w *work) info(b binary, kind, dir string, contents files.Contents) *nfpm.Info {
	script := func(name string) string { return filepath.Join(dir, "scripts", name+".sh") }
	info := &nfpm.Info{
		Name: "evergate", Arch: b.arch, Platform: "linux", Version: w.version, Release: "1",
		Section: "net", Priority: "optional", Homepage: home, License: "Apache-2.0",
		Maintainer: "The Evergate authors <maintainers@evergate.invalid>", Vendor: "The Evergate authors",
		Description: "Reverse-proxy authentication gateway\n" +
			"Evergate stands in front of web apps, signs people in once, keeps their\n" +
			"session, and hands every request on with a fresh access token.",
		MTime: w.source.time, DisableGlobbing: true,
	}
	info.Contents = contents
	info.Recommends = []string{"ca-certificates"}
	info.Scripts = nfpm.Scripts{
		PreInstall: script("preinstall"), PostInstall: script("postinstall"),
		PreRemove: script("preremove"), PostRemove: script("postremove"),
	}
	info.RPM.BuildHost = "localhost" // not the name of the machine that built it
	if kind == kindDeb {
		info.Deb.Predepends = []string{"passwd"} // useradd, and at purge userdel
	} else {
		info.Depends = []string{"shadow-utils"}
	}
	return info
}

// packaged is a file of the packages.
type packaged struct {
	name  string
	data  []byte
	mode  os.FileMode
	kind  string
	group string // root if empty
	only  string // the kind of package that has it; both if empty
}

// stage writes the files of the packages into dir, where the library takes them from.
func (w *work) stage(dir string, b binary, shells map[string][]byte) (files.Contents, error) {
	all, err := w.packagedFiles(b, shells)
	if err != nil {
		return nil, err
	}
	contents := files.Contents{{
		Destination: "/etc/evergate", Type: files.TypeDir,
		FileInfo: &files.ContentFileInfo{Mode: 0o750, Group: "evergate", MTime: w.source.time},
	}}
	for i, p := range all {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := writeStaged(path, p.data); err != nil {
			return nil, err
		}
		contents = append(contents, &files.Content{
			Source: path, Destination: p.name, Type: p.kind, Packager: p.only,
			FileInfo: &files.ContentFileInfo{Mode: p.mode, Group: p.group, MTime: w.source.time},
		})
	}
	for _, name := range []string{"preinstall", "postinstall", "preremove", "postremove"} {
		text, err := w.source.read("release/packaging/" + name + ".sh")
		if err != nil {
			return nil, err
		}
		if err := writeStaged(filepath.Join(dir, "scripts", name+".sh"), text); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

func writeStaged(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("put together a package: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("put together a package: %w", err)
	}
	return nil
}

func (w *work) packagedFiles(b binary, shells map[string][]byte) ([]packaged, error) {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	all := []packaged{
		{name: "/usr/bin/evergate", data: program, mode: 0o755},
		{name: "/usr/share/bash-completion/completions/evergate", data: shells["bash"], mode: 0o644},
		{name: "/usr/share/fish/vendor_completions.d/evergate.fish", data: shells["fish"], mode: 0o644},
		{name: "/usr/share/zsh/vendor-completions/_evergate", data: shells["zsh"], mode: 0o644, only: kindDeb},
		{name: "/usr/share/zsh/site-functions/_evergate", data: shells["zsh"], mode: 0o644, only: kindRPM},
	}
	for _, f := range []struct {
		from string
		packaged
	}{
		{"release/packaging/evergate.yaml", packaged{name: "/etc/evergate/evergate.yaml", mode: 0o640, group: "evergate", kind: files.TypeConfigNoReplace}},
		{"README.md", packaged{name: "/usr/share/doc/evergate/README.md", mode: 0o644}},
		{"CHANGELOG.md", packaged{name: "/usr/share/doc/evergate/CHANGELOG.md", mode: 0o644}},
		{"config.example.yaml", packaged{name: "/usr/share/doc/evergate/config.example.yaml", mode: 0o644}},
	} {
		if f.data, err = w.source.read(f.from); err != nil {
			return nil, err
		}
		all = append(all, f.packaged)
	}
	license, err := w.source.read("LICENSE")
	if err != nil {
		return nil, err
	}
	all = append(all, packaged{name: "/usr/share/doc/evergate/copyright", data: append(append(license, '\n'), b.licenses...), mode: 0o644})
	units, err := w.units()
	return append(all, units...), err
}

// units are those of deploy/systemd, with the program and the mode of the config's folder
// as packages have them.
func (w *work) units() (all []packaged, err error) {
	const dir = "deploy/systemd"
	entries, err := os.ReadDir(filepath.Join(w.source.dir, filepath.FromSlash(dir)))
	if err != nil {
		return nil, fmt.Errorf("list the units: %w", err)
	}
	for _, e := range entries {
		if ending := filepath.Ext(e.Name()); ending != ".service" && ending != ".socket" {
			continue
		}
		text, err := w.source.read(dir + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		unit := strings.ReplaceAll(string(text), "/usr/local/bin/", "/usr/bin/")
		if !strings.Contains(unit, "ConfigurationDirectoryMode=") { // or it warns of the mode that the package gives
			unit = strings.Replace(unit, "\nConfigurationDirectory=evergate\n", "\nConfigurationDirectory=evergate\nConfigurationDirectoryMode=0750\n", 1)
		}
		all = append(all, packaged{name: "/usr/lib/systemd/system/" + e.Name(), mode: 0o644, data: []byte(unit)})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no unit in %s", dir)
	}
	return all, nil
}
