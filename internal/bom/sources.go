package bom

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/template"

	"github.com/zerodisc/zerodisc/internal/payload"
)

// sourcesText is the list of source packages.
var sourcesText = template.Must(template.New("sources").
	Parse(`# Debian's source packages of zerodisc {{.Version}} (build {{.BuildID}}): NAME VERSION
#
# On a Debian machine with a deb-src entry for {{.Suite}}, its updates and its security updates (firmware and
# microcode are in the component non-free-firmware):
#
#   apt-get update
#   apt-get source NAME=VERSION
#
# Debian's snapshot archive keeps by date what the archive has replaced since: with a deb-src entry
# for a day on which the version was in the archive, the same command fetches it.
{{range .Sources}}{{.Name}} {{.Version}}
{{end}}
# Go modules: MODULE@VERSION, fetched by: go mod download MODULE@VERSION
#
{{range .Modules}}{{.Path}}@{{.Version}}
{{end}}`))

// WriteSources writes the sorted list of the source packages, each once, and of the Go modules.
func WriteSources(w io.Writer, in Input) error {
	err := sourcesText.Execute(w, struct {
		Input
		Sources []payload.Source
	}{in, sources(in.Packages)})
	if err != nil {
		return fmt.Errorf("write list of source packages: %w", err)
	}
	return nil
}

func sources(packages []payload.Package) []payload.Source {
	var list []payload.Source
	for _, p := range packages {
		list = append(list, p.Sources...)
	}
	slices.SortFunc(list, func(a, b payload.Source) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return slices.Compact(list)
}
