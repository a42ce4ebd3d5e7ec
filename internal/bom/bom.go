package bom

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/payload"
)

// Input is what a disc was built from.
type Input struct {
	Version  string    // of zerodisc
	BuildID  string    // of the disc
	Revision string    // of zerodisc's sources
	Suite    string    // Debian release
	Compiler string    // of the userland, as "go env GOVERSION" says it
	Date     time.Time // of the disc

	Image  string // name of the ISO's file, without directories; "" if there is none yet
	SHA256 string // of the ISO, hexadecimal; "" if it is not known

	Packages []payload.Package  // those with files on the disc
	Modules  []initramfs.Module // those compiled into the userland, without zerodisc's own

	// Licences are those of a package as [payload.Tree.Licences] lists them; nil leaves them out.
	Licences func(pkg string) ([]string, error)
}

// specVersion is the version of the specification that is written. The library knows a newer one, but few
// programs that read bills of materials do.
const specVersion = cdx.SpecVersion1_6

// Names of the properties for which CycloneDX has no field. A package has one propertySource for each of
// its source packages: "NAME VERSION".
const (
	propertyBuildID  = "zerodisc:build-id"
	propertyRevision = "zerodisc:revision"
	propertySuite    = "zerodisc:suite"
	propertyFile     = "zerodisc:file"
	propertySource   = "zerodisc:source"
)

// Write writes the bill of materials as JSON: the disc, and as its components zerodisc, Debian's
// packages, the Go modules and Go's standard library.
func Write(w io.Writer, in Input) error {
	components, err := in.components()
	if err != nil {
		return fmt.Errorf("bill of materials: %w", err)
	}
	disc := in.disc()
	doc := cdx.NewBOM()
	doc.SerialNumber = in.serialNumber()
	doc.Metadata = &cdx.Metadata{
		Timestamp:  in.Date.UTC().Format(time.RFC3339),
		Lifecycles: &[]cdx.Lifecycle{{Phase: cdx.LifecyclePhaseBuild}},
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{
			{Type: cdx.ComponentTypeApplication, Name: "mkiso", Version: in.Version},
		}},
		Authors:   &[]cdx.OrganizationalContact{{Name: authors}},
		Component: &disc,
	}
	doc.Components = &components
	doc.Dependencies = in.dependencies(disc, components)
	encoder := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	if err := encoder.EncodeVersion(doc, specVersion); err != nil {
		return fmt.Errorf("write bill of materials: %w", err)
	}
	return nil
}

// serialNumber is a UUID of version 8 (RFC 9562, section 5.8): every disc has its own, and always the same.
func (in Input) serialNumber() string {
	name := fmt.Sprintf("%s %d %s", in.BuildID, in.Date.Unix(), in.SHA256)
	return uuid.NewHash(sha256.New(), uuid.Nil, []byte(name), 8).URN()
}

const (
	authors         = "the zerodisc authors"
	zerodiscLicence = "BSD-3-Clause"
	goLicence       = "BSD-3-Clause"
)

// disc is the component that the bill describes.
func (in Input) disc() cdx.Component {
	c := cdx.Component{
		BOMRef: "zerodisc-" + in.BuildID, Type: cdx.ComponentTypeOS, Name: "zerodisc", Version: in.Version,
		Supplier:    &cdx.OrganizationalEntity{Name: authors},
		Description: "live disc that boots a Xen host with guests",
		Properties: properties(propertyBuildID, in.BuildID, propertyRevision, in.Revision,
			propertySuite, in.Suite, propertyFile, in.Image),
	}
	if in.SHA256 != "" {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: in.SHA256}}
	}
	return c
}

// components are all parts of the disc, sorted by their references.
func (in Input) components() ([]cdx.Component, error) {
	list := []cdx.Component{in.userland(), in.standardLibrary()}
	for _, m := range in.Modules {
		list = append(list, goComponent(cdx.ComponentTypeLibrary, m.Path, m.Version))
	}
	for _, p := range in.Packages {
		c, err := in.debianPackage(p)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	return list, nil
}

// userland is zerodisc's own program.
func (in Input) userland() cdx.Component {
	c := goComponent(cdx.ComponentTypeApplication, initramfs.ModulePath, in.Version)
	c.Licenses = licences([]string{zerodiscLicence})
	c.Properties = properties(propertyRevision, in.Revision)
	return c
}

// standardLibrary is Go's, under its name in the Go vulnerability database.
func (in Input) standardLibrary() cdx.Component {
	c := goComponent(cdx.ComponentTypeLibrary, "stdlib", strings.TrimPrefix(in.Compiler, "go"))
	c.Licenses = licences([]string{goLicence})
	return c
}

// goComponent is a Go module. Its reference is its package URL.
func goComponent(kind cdx.ComponentType, path, version string) cdx.Component {
	purl := golangURL(path, version)
	return cdx.Component{BOMRef: purl, Type: kind, Name: path, Version: version, PackageURL: purl}
}

func (in Input) debianPackage(p payload.Package) (cdx.Component, error) {
	purl := debURL(p, in.Suite)
	c := cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: purl,
		Supplier: &cdx.OrganizationalEntity{Name: "Debian"},
		Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: p.SHA256}},
	}
	var sources []string
	for _, s := range p.Sources {
		sources = append(sources, propertySource, s.Name+" "+s.Version)
	}
	c.Properties = properties(sources...)
	if in.Licences == nil {
		return c, nil
	}
	declared, err := in.Licences(p.Name)
	c.Licenses = licences(declared)
	return c, err
}

// properties makes properties of pairs of name and value. It leaves out empty values; nil if none is left.
func properties(pairs ...string) *[]cdx.Property {
	var list []cdx.Property
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			list = append(list, cdx.Property{Name: pair[0], Value: pair[1]})
		}
	}
	if list == nil {
		return nil
	}
	return &list
}

// dependencies say that the disc needs all components, and the userland all of Go's. All others are left
// out, which means "unknown" to the specification.
func (in Input) dependencies(disc cdx.Component, components []cdx.Component) *[]cdx.Dependency {
	userland := in.userland().BOMRef
	var all, golang []string
	for _, c := range components {
		all = append(all, c.BOMRef)
		if c.BOMRef != userland && strings.HasPrefix(c.PackageURL, golangType) {
			golang = append(golang, c.BOMRef)
		}
	}
	return &[]cdx.Dependency{
		{Ref: disc.BOMRef, Dependencies: &all},
		{Ref: userland, Dependencies: &golang},
	}
}
