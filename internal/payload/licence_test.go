package payload

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Source: somewhere
License: GPL-2+

Files: *
Copyright: 2020 A Person
License: GPL-2+
 This is free software.

Files: lib/*
Copyright: 2021 Another Person
License:  Expat  or GPL-2
 The text of Expat, with a line like
 License: none

Files: contrib/*
License:
 as you like

License: Artistic
 A text to which another stanza may refer.
`

var licencesOfCopyright = []string{"Expat or GPL-2", "GPL-2+"}

func TestParseLicences(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"machine readable": {copyright, licencesOfCopyright},
		"for people":       {"This package was debianized by a person.\n\nLicense: GPL-2+\n", nil},
		"other format":     {strings.Replace(copyright, "1.0/", "2.0/", 1), nil},
		"broken":           {copyright + "\nno field\n", nil},
		"empty":            {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseLicences(strings.NewReader(test.text)); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTreeLicences(t *testing.T) {
	lib := debLib
	lib.files = map[string]string{"usr/share/doc/libone/copyright": copyright}
	tree := mustLoad(t, newRepo(t, lib, debThing).options(), "libone")
	if got, err := tree.Licences("libone"); err != nil || !slices.Equal(got, licencesOfCopyright) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := tree.Licences("thing"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "thing") {
		t.Errorf("of no such package: %v", err)
	}
}

func FuzzParseLicences(f *testing.F) {
	f.Add(copyright)
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range parseLicences(strings.NewReader(text)) {
			if l == "" || strings.ContainsAny(l, "\n\t") {
				t.Errorf("licence %q", l)
			}
		}
	})
}
