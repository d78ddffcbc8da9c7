package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const home = "https://github.com/evergate/evergate"

// writeSBOM writes what a binary is made of, as CycloneDX 1.6 in JSON. It is read out of
// the binary and not out of go.mod: a module that is not linked in is not in there.
func (w *work) writeSBOM(b binary) error {
	sum, err := sha256File(b.path)
	if err != nil {
		return err
	}
	bom := w.sbom(b, sum)
	return writeFile(filepath.Join(w.out, w.name(b)+".cdx.json"), func(f io.Writer) error {
		return cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	})
}

func (w *work) sbom(b binary, sum string) *cdx.BOM {
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(sum)
	main := cdx.Component{
		BOMRef: purl("github.com/evergate/evergate", "v"+w.version), PackageURL: purl("github.com/evergate/evergate", "v"+w.version),
		Type: cdx.ComponentTypeApplication, Name: "evergate", Version: w.version,
		Licenses:           &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		Hashes:             &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}},
		ExternalReferences: &[]cdx.ExternalReference{{Type: cdx.ERTypeVCS, URL: home}},
		Properties: &[]cdx.Property{
			{Name: "evergate:platform", Value: b.target.String()},
			{Name: "evergate:commit", Value: w.source.commit},
		},
	}
	bom.Metadata = &cdx.Metadata{Timestamp: w.source.stamp(), Component: &main}
	var parts []cdx.Component
	var refs []string
	depends := []cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	for _, m := range b.linked {
		c := cdx.Component{
			BOMRef: purl(m.path, m.version), PackageURL: purl(m.path, m.version),
			Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version, Licenses: licenses(m.license),
		}
		if m.sum != "" {
			c.Properties = &[]cdx.Property{{Name: "evergate:go.sum", Value: m.sum}}
		}
		parts = append(parts, c)
		refs = append(refs, c.BOMRef)
		depends = append(depends, cdx.Dependency{Ref: c.BOMRef})
	}
	bom.Components, bom.Dependencies = &parts, &depends
	return bom
}

// licenses is one licence by its id, or several by an expression.
func licenses(expression string) *cdx.Licenses {
	if strings.Contains(expression, " ") {
		return &cdx.Licenses{{Expression: expression}}
	}
	return &cdx.Licenses{{License: &cdx.License{ID: expression}}}
}

// purl is the package URL of a Go module.
func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// serial is a UUID for the list of one binary: the same for the same binary.
func serial(sum string) string {
	h := sha256.Sum256([]byte("evergate sbom " + sum))
	h[6] = h[6]&0x0f | 0x80 // version 8: of our own making
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
