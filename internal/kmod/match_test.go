package kmod

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"pci:v00008086d000010D3sv*sd*bc*sc*i*", "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00", true},
		{"pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true},
		{"pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc01i80", false},
		{"usb:v0421p0042d01[1-4]*dc*", "usb:v0421p0042d0130dc00", true},
		{"usb:v0421p0042d01[1-4]*dc*", "usb:v0421p0042d0150dc00", false},
		{"acpi*:PNP0303:*", "acpi:PNP0303:PNP030B:", true},
		{"dmi*:svn*Sony*:", "dmi:bvnX/Y:svnSony/Ericsson:", true}, // "/" is a byte like any other
		{"a?c", "a/c", true},
		{"a?c", "ac", false},
		{"[!a]", "b", true},
		{"[^a]", "a", false},
		{"[]]", "]", true},
		{"[a-]", "-", true},
		{"[abc", "[abc", true},
		{"[", "[", true},
		{"[]", "[]", true},
		{`a\*b`, "a*b", true},
		{`a\*b`, "aab", false},
		{`a\`, `a\`, true},
		{"a*b*c*", "aXXbXXbXXcXX", true},
		{"*a", "aaab", false},
	} {
		if got := Match(test.pattern, test.s); got != test.want {
			t.Errorf("Match(%q, %q) = %v", test.pattern, test.s, got)
		}
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"xen-netback":     "xen_netback",
		"xen-backend:vif": "xen_backend:vif",
		"usb:d0[1-4]*-x":  "usb:d0[1-4]*_x",
		"loop":            "loop",
	} {
		if got := Normalize(in); got != want {
			t.Errorf("Normalize(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("pci:v*d[0-9]*", "pci:v1d2")
	f.Add("[!]", "[")
	f.Add(`*\`, `\`)
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 200 {
			return
		}
		got := Match(pattern, s)
		if !strings.ContainsAny(pattern, `*?[\`) && got != (pattern == s) {
			t.Errorf("Match(%q, %q) = %v for a literal", pattern, s, got)
		}
		if got && !Match("*"+pattern, s) {
			t.Errorf("a leading * unmatched %q from %q", s, pattern)
		}
	})
}
