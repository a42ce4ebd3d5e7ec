package payload

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Package is one binary package of the archive.
type Package struct {
	Name          string `json:"name"`
	Version       string `json:"version"`
	Arch          string `json:"arch"`
	Source        string `json:"source"`        // source package
	SourceVersion string `json:"sourceVersion"` // its version, which can differ from Version
	Section       string `json:"section"`
	Size          int64  `json:"size"`     // bytes of the .deb
	SHA256        string `json:"sha256"`   // of the .deb, lower-case hexadecimal
	Filename      string `json:"filename"` // path below the archive's URL
}

// String names the package the way apt takes it.
func (p Package) String() string { return p.Name + "=" + p.Version }

// Resolution is the answer to "which packages does this set of roots need": what a lock file
// or a bill of materials holds. Its JSON form is the same whenever the packages are: there is no
// date in it, and packages are sorted by name.
type Resolution struct {
	Suite    string    `json:"suite"`
	Roots    []string  `json:"roots"` // sorted
	Packages []Package `json:"packages"`
}

// Size is the sum of the sizes of all packages, in bytes.
func (r *Resolution) Size() int64 { return totalSize(r.Packages) }

// check refuses what a damaged or hostile lock file could hold.
func (r *Resolution) check() error {
	if len(r.Packages) == 0 {
		return fmt.Errorf("no packages")
	}
	for _, p := range r.Packages {
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

// key names the set of packages.
func (r *Resolution) key() string {
	h := sha256.New()
	for _, p := range r.Packages {
		fmt.Fprintln(h, p.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func totalSize(pkgs []Package) int64 {
	var n int64
	for _, p := range pkgs {
		n += p.Size
	}
	return n
}

// packageFromStanza makes a Package of a stanza of apt-cache show.
func packageFromStanza(s stanza) (Package, error) {
	p := Package{
		Name:     s["package"],
		Version:  s["version"],
		Arch:     s["architecture"],
		Section:  s["section"],
		SHA256:   strings.ToLower(s["sha256"]),
		Filename: s["filename"],
	}
	p.Source, p.SourceVersion = splitSource(s["source"], p.Name, p.Version)
	if _, err := fmt.Sscan(s["size"], &p.Size); err != nil {
		return p, fmt.Errorf("package %q: size %q is no number", p.Name, s["size"])
	}
	return p, p.check()
}

// check refuses what could not be downloaded or would be dangerous as a part of a path or of a
// command line.
func (p Package) check() error {
	if !plainName(p.Name) {
		return fmt.Errorf("package name %q is not valid", p.Name)
	}
	if p.Version == "" || strings.ContainsAny(p.Version, " \t\n/") {
		return fmt.Errorf("package %s: version %q is not valid", p.Name, p.Version)
	}
	if raw, err := hex.DecodeString(p.SHA256); err != nil || len(raw) != sha256.Size {
		return fmt.Errorf("package %s: SHA-256 %q is not valid", p.Name, p.SHA256)
	}
	return nil
}

// plainName tells whether s is a package name by Debian policy 5.6.7: at least two of lower-case
// letters, digits, plus, minus and dot, the first of them a letter or digit.
func plainName(s string) bool {
	if len(s) < 2 || strings.ContainsRune("+-.", rune(s[0])) {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}

// splitSource reads a Source field: empty, "glibc" or "linux-signed-amd64 (6.12.1+1)".
func splitSource(field, name, version string) (string, string) {
	if field == "" {
		return name, version
	}
	source, rest, found := strings.Cut(field, " (")
	if !found {
		return source, version
	}
	return source, strings.TrimSuffix(rest, ")")
}

// sortedRoots checks the names and puts them in order, each once.
func sortedRoots(roots []string) ([]string, error) {
	if len(roots) == 0 {
		return nil, fmt.Errorf("no packages asked for")
	}
	for _, r := range roots {
		if !plainName(r) {
			return nil, fmt.Errorf("package name %q is not valid", r)
		}
	}
	sorted := slices.Clone(roots)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}
