package bom

import (
	"regexp"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// spdx maps Debian's short names, in lower case, to identifiers of SPDX's list where both mean the same
// text. Left out on purpose: MIT, which Debian's format has as ambiguous, and names of variants. GNU's
// are in gnuLicence.
var spdx = map[string]string{
	"0bsd":         "0BSD",
	"apache-2":     "Apache-2.0",
	"apache-2.0":   "Apache-2.0",
	"artistic-2.0": "Artistic-2.0",
	"bsd-2-clause": "BSD-2-Clause",
	"bsd-3-clause": "BSD-3-Clause",
	"bsd-4-clause": "BSD-4-Clause",
	"bsl-1.0":      "BSL-1.0",
	"cc-by-3.0":    "CC-BY-3.0",
	"cc-by-4.0":    "CC-BY-4.0",
	"cc-by-sa-3.0": "CC-BY-SA-3.0",
	"cc-by-sa-4.0": "CC-BY-SA-4.0",
	"cc0":          "CC0-1.0",
	"cc0-1.0":      "CC0-1.0",
	"expat":        "MIT",
	"fsfap":        "FSFAP",
	"fsful":        "FSFUL",
	"fsfullr":      "FSFULLR",
	"ftl":          "FTL",
	"isc":          "ISC",
	"libpng":       "Libpng",
	"mpl-1.1":      "MPL-1.1",
	"mpl-2.0":      "MPL-2.0",
	"python-2.0":   "Python-2.0",
	"zlib":         "Zlib",
}

// gnuLicence is a short name of one of GNU's licences: "GPL-2", "LGPL-2.1+", "GPL-3.0-only".
var gnuLicence = regexp.MustCompile(`^(gpl-[123]|lgpl-[23]|agpl-3)(\.0|\.1)?(\+|-or-later|-only)?$`)

// spdxID is the identifier of a licence with the given short name, "" where there is none for sure.
func spdxID(name string) string {
	name = strings.ToLower(name)
	m := gnuLicence.FindStringSubmatch(name)
	if m == nil {
		return spdx[name]
	}
	family, minor, later := strings.ToUpper(m[1]), m[2], "-only"
	if minor == "" {
		minor = ".0"
	}
	if minor == ".1" && family != "LGPL-2" {
		return ""
	}
	if m[3] == "+" || m[3] == "-or-later" {
		later = "-or-later"
	}
	return family + minor + later
}

// spdxExpression translates "GPL-2 or Expat and ISC" where every name has an identifier; in both
// notations "and" binds more tightly than "or". It is "" otherwise, as for exceptions.
func spdxExpression(synopsis string) string {
	words := strings.Fields(synopsis)
	for i, word := range words {
		switch operator := strings.ToUpper(word); {
		case i%2 == 0:
			words[i] = spdxID(word)
		case operator == "AND" || operator == "OR":
			words[i] = operator
		default:
			return ""
		}
		if words[i] == "" {
			return ""
		}
	}
	if len(words)%2 == 0 {
		return ""
	}
	return strings.Join(words, " ")
}

// licences are what a package declares for its files: one expression where all of it can be said in
// SPDX's terms, else a list with Debian's words for what cannot. The specification lets the two not mix.
func licences(declared []string) *cdx.Licenses {
	if len(declared) == 0 {
		return nil
	}
	var terms []string
	for _, synopsis := range declared {
		terms = append(terms, spdxExpression(synopsis))
	}
	slices.Sort(terms)
	terms = slices.Compact(terms)
	if terms[0] == "" || len(terms) == 1 && !strings.Contains(terms[0], " ") {
		return licenceList(declared)
	}
	for i, term := range terms {
		if len(terms) > 1 && strings.Contains(term, " OR ") {
			terms[i] = "(" + term + ")"
		}
	}
	by := cdx.LicenseAcknowledgementDeclared
	return &cdx.Licenses{{Expression: strings.Join(terms, " AND "), Acknowledgement: &by}}
}

// licenceList lists the licences one by one.
func licenceList(declared []string) *cdx.Licenses {
	var list cdx.Licenses
	listed := map[[2]string]bool{}
	for _, synopsis := range declared {
		l := &cdx.License{ID: spdxID(synopsis), Acknowledgement: cdx.LicenseAcknowledgementDeclared}
		if l.ID == "" {
			l.Name = synopsis
		}
		if key := [2]string{l.ID, l.Name}; !listed[key] {
			listed[key] = true
			list = append(list, cdx.LicenseChoice{License: l})
		}
	}
	return &list
}
