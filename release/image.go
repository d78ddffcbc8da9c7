package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nobody is the user in the image, of no name that a host has.
const nobody = 65532

// image is a container image for one platform.
type image struct {
	v1.Image
	platform v1.Platform
}

// image makes the image of a binary, and writes it as `docker load` takes it. It is what
// deploy/Dockerfile builds, made without an engine.
func (w *work) image(b binary) (image, error) {
	i := image{platform: v1.Platform{OS: b.os, Architecture: b.arch}}
	base, err := w.rootFiles(b)
	if err != nil {
		return i, err
	}
	program, err := os.ReadFile(b.path)
	if err != nil {
		return i, fmt.Errorf("read the program: %w", err)
	}
	i.Image = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range []struct {
		what    string
		entries []entry
	}{
		{"the root file system", base},
		{"evergate " + w.version, []entry{{name: "usr/"}, {name: "usr/bin/"}, {name: "usr/bin/evergate", data: program, mode: 0o755}}},
	} {
		layer, err := w.layer(l.entries)
		if err != nil {
			return i, fmt.Errorf("make a layer of the image: %w", err)
		}
		if i.Image, err = mutate.Append(i.Image, mutate.Addendum{
			Layer: layer, History: v1.History{Created: v1.Time{Time: w.source.time}, CreatedBy: "release", Comment: l.what},
		}); err != nil {
			return i, fmt.Errorf("make the image: %w", err)
		}
	}
	config, err := i.ConfigFile()
	if err != nil {
		return i, fmt.Errorf("make the image: %w", err)
	}
	if i.Image, err = mutate.ConfigFile(i.Image, w.imageConfig(config.DeepCopy(), i.platform)); err != nil {
		return i, fmt.Errorf("make the image: %w", err)
	}
	tag, err := name.NewTag("evergate:" + w.version)
	if err != nil {
		return i, fmt.Errorf("name the image: %w", err)
	}
	path := filepath.Join(w.out, w.name(b)+".docker.tar")
	return i, writeFile(path, func(f io.Writer) error { return tarball.Write(tag, i.Image, f) })
}

// layer is a layer with the entries.
func (w *work) layer(entries []entry) (v1.Layer, error) {
	var b bytes.Buffer
	if err := writeTar(&b, entries, w.source.time); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// rootFiles is all that the program needs of a system: roots of trust, and a user.
func (w *work) rootFiles(b binary) ([]entry, error) {
	license, err := w.source.read("LICENSE")
	if err != nil {
		return nil, err
	}
	passwd := fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%d:%[1]d:nonroot:/var/lib/evergate:/sbin/nologin\n", nobody)
	return []entry{
		{name: "etc/"},
		{name: "etc/evergate/"},
		{name: "etc/group", data: fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", nobody)},
		{name: "etc/passwd", data: []byte(passwd)},
		{name: "etc/ssl/"}, {name: "etc/ssl/certs/"},
		{name: "etc/ssl/certs/ca-certificates.crt", data: roots()},
		{name: "usr/"}, {name: "usr/share/"}, {name: "usr/share/doc/"}, {name: "usr/share/doc/evergate/"},
		{name: "usr/share/doc/evergate/LICENSE", data: license},
		{name: "usr/share/doc/evergate/THIRD_PARTY_LICENSES", data: b.licenses},
		{name: "var/"}, {name: "var/lib/"},
		{name: "var/lib/evergate/", mode: 0o700, uid: nobody, gid: nobody},
	}, nil
}

// roots are the certificate authorities that Mozilla trusts, less those that it trusts for
// some certificates only, which a file cannot say. go.sum says which state of the list.
func roots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
		}
	}
	return b.Bytes()
}

// imageConfig adds to c, which has the layers, how the image is run. It is what
// deploy/Dockerfile says.
func (w *work) imageConfig(c *v1.ConfigFile, platform v1.Platform) *v1.ConfigFile {
	c.OS, c.Architecture, c.Created = platform.OS, platform.Architecture, v1.Time{Time: w.source.time}
	const config = "/etc/evergate/evergate.yaml"
	c.Config = v1.Config{
		User: fmt.Sprintf("%d:%[1]d", nobody), WorkingDir: "/var/lib/evergate",
		Env:        []string{"PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		Entrypoint: []string{"/usr/bin/evergate"}, Cmd: []string{"serve", "--config", config},
		Volumes: map[string]struct{}{"/var/lib/evergate": {}}, StopSignal: "SIGTERM",
		// Of Docker's own; other engines ask in other ways.
		Healthcheck: &v1.HealthConfig{
			Test:     []string{"CMD", "/usr/bin/evergate", "healthcheck", "--config", config},
			Interval: 30 * time.Second, Timeout: 6 * time.Second, StartPeriod: 10 * time.Second, Retries: 3,
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "Evergate",
			"org.opencontainers.image.description": "Reverse-proxy authentication gateway",
			"org.opencontainers.image.url":         home,
			"org.opencontainers.image.source":      home,
			"org.opencontainers.image.version":     w.version,
			"org.opencontainers.image.revision":    w.source.commit,
			"org.opencontainers.image.created":     w.source.stamp(),
			"org.opencontainers.image.licenses":    "Apache-2.0",
		},
	}
	return c
}

// imageLayout writes one file with the images for all platforms, as an OCI layout.
func (w *work) imageLayout(images []image) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, i := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i, Descriptor: v1.Descriptor{Platform: &i.platform}})
	}
	dir := filepath.Join(w.scratch, "oci")
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("lay out the images: %w", err)
	}
	if err := l.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": w.version})); err != nil {
		return fmt.Errorf("lay out the images: %w", err)
	}
	var entries []entry
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // sorted
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		e := entry{name: filepath.ToSlash(rel)}
		if d.IsDir() {
			e.name += "/"
		} else if e.data, err = os.ReadFile(path); err != nil {
			return err
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the layout of the images: %w", err)
	}
	path := filepath.Join(w.out, fmt.Sprintf("evergate_%s.oci.tar", w.version))
	return writeFile(path, func(f io.Writer) error { return writeTar(f, entries, w.source.time) })
}
