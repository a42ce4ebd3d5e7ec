package bom

import (
	"net/url"
	"strings"

	"github.com/zerodisc/zerodisc/internal/payload"
)

// Schemes and types of package URLs (ECMA-427).
const (
	golangType = "pkg:golang/"
	debType    = "pkg:deb/debian/"
)

// golangURL is the package URL of a Go module; the type has its names in lower case.
func golangURL(path, version string) string {
	segments := strings.Split(strings.ToLower(path), "/")
	for i, s := range segments {
		segments[i] = escape(s)
	}
	return golangType + strings.Join(segments, "/") + "@" + escape(version)
}

// debURL is the package URL of a Debian package. Where the source package is called otherwise or has
// another version, the qualifier upstream names it, as scanners for vulnerabilities expect: Debian
// reports those by source package.
func debURL(p payload.Package, suite string) string {
	u := debType + escape(p.Name) + "@" + escape(p.Version) + "?arch=" + escape(p.Arch) + "&distro=" + escape(suite)
	if len(p.Sources) > 0 && p.Sources[0] != (payload.Source{Name: p.Name, Version: p.Version}) {
		u += "&upstream=" + escape(p.Sources[0].Name+"@"+p.Sources[0].Version)
	}
	return u
}

// escape percent-encodes all but letters, digits, ".-_~" and, as the specification wants, the colon.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", "%3A", ":").Replace(url.QueryEscape(s))
}
