package bom

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/payload"
)

const sum = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"

// testInput has something of everything.
func testInput() Input {
	return Input{
		Version: "0.1", BuildID: "0123456789abcdef", Revision: "aabbcc", Suite: "trixie", Compiler: "go1.26.8",
		Date:  time.Date(2026, time.March, 1, 12, 0, 0, 0, time.FixedZone("", 3600)),
		Image: "zerodisc-0.1.iso", SHA256: sum,
		Packages: []payload.Package{
			{Name: "libstdc++6", Version: "14.2.0-19", Arch: "amd64", Size: 1, SHA256: sum, Sources: []payload.Source{
				{Name: "gcc-14", Version: "14.2.0-19"},
			}},
			{
				Name: "linux-image-amd64", Version: "6.12-1", Arch: "amd64", Size: 1, SHA256: sum,
				Sources: []payload.Source{
					{Name: "linux-signed-amd64", Version: "6.12+1"}, {Name: "linux", Version: "6.12-1"},
				},
			},
			{Name: "zlib1g", Version: "1:1.3~rc1", Arch: "amd64", Size: 1, SHA256: sum, Sources: []payload.Source{
				{Name: "zlib1g", Version: "1:1.3~rc1"},
			}},
			{Name: "zlib-tools", Version: "1:1.3~rc1", Arch: "all", Size: 1, SHA256: sum, Sources: []payload.Source{
				{Name: "zlib1g", Version: "1:1.3~rc1"},
			}},
		},
		Modules: []initramfs.Module{{Path: "github.com/Some/module", Version: "v1.2.3+incompatible"}},
		Licences: func(pkg string) ([]string, error) {
			return map[string][]string{
				"linux-image-amd64": {"GPL-2", "GPL-2 or BSD-2-clause"},
				"zlib1g":            {"Zlib", "as you like", "zlib"},
				"zlib-tools":        {"Zlib"},
			}[pkg], nil
		},
	}
}

func write(t *testing.T, in Input) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, in); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// decode reads a bill with the library's own decoder.
func decode(t *testing.T, text []byte) *cdx.BOM {
	t.Helper()
	doc := &cdx.BOM{}
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestWrite(t *testing.T) {
	doc := decode(t, write(t, testInput()))
	if doc.SpecVersion != specVersion || doc.Version != 1 || doc.Metadata.Timestamp != "2026-03-01T11:00:00Z" {
		t.Errorf("bill is %+v of %s", doc, doc.Metadata.Timestamp)
	}
	disc := doc.Metadata.Component
	if (*disc.Hashes)[0].Value != sum || disc.Version != "0.1" || (*disc.Properties)[0].Value != "0123456789abcdef" {
		t.Errorf("disc is %+v", disc)
	}
	var purls []string
	for _, c := range *doc.Components {
		purls = append(purls, c.PackageURL)
	}
	want := []string{
		"pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=trixie&upstream=gcc-14%4014.2.0-19",
		"pkg:deb/debian/linux-image-amd64@6.12-1?arch=amd64&distro=trixie&upstream=linux-signed-amd64%406.12%2B1",
		"pkg:deb/debian/zlib-tools@1:1.3~rc1?arch=all&distro=trixie&upstream=zlib1g%401:1.3~rc1",
		"pkg:deb/debian/zlib1g@1:1.3~rc1?arch=amd64&distro=trixie",
		"pkg:golang/github.com/some/module@v1.2.3%2Bincompatible",
		"pkg:golang/github.com/zerodisc/zerodisc@0.1",
		"pkg:golang/stdlib@1.26.8",
	}
	if !slices.Equal(purls, want) {
		t.Errorf("components\n%s\nwant\n%s", strings.Join(purls, "\n"), strings.Join(want, "\n"))
	}
	linux := (*doc.Components)[1]
	if got := *linux.Properties; len(got) != 2 || got[1].Name != propertySource || got[1].Value != "linux 6.12-1" {
		t.Errorf("properties of %s are %+v", linux.Name, got)
	}
	disks := (*doc.Dependencies)[0]
	if disks.Ref != disc.BOMRef || !slices.Equal(*disks.Dependencies, want) {
		t.Errorf("the disc depends on %v", disks)
	}
	userland := (*doc.Dependencies)[1]
	if userland.Ref != want[5] || !slices.Equal(*userland.Dependencies, []string{want[4], want[6]}) {
		t.Errorf("the userland depends on %v", userland)
	}
}

func TestSameInputSameBytes(t *testing.T) {
	first, second := write(t, testInput()), write(t, testInput())
	if !bytes.Equal(first, second) {
		t.Errorf("first\n%s\nsecond\n%s", first, second)
	}
	for name, change := range map[string]func(*Input){
		"build": func(in *Input) { in.BuildID = "ff" },
		"date":  func(in *Input) { in.Date = in.Date.Add(time.Second) },
		"image": func(in *Input) { in.SHA256 = "" },
	} {
		other := testInput()
		change(&other)
		if serial := decode(t, write(t, other)).SerialNumber; serial == decode(t, first).SerialNumber {
			t.Errorf("another %s has the same serial number %s", name, serial)
		}
	}
}

func TestWriteErrors(t *testing.T) {
	in := testInput()
	broken := errors.New("no copyright")
	in.Licences = func(string) ([]string, error) { return nil, broken }
	if err := Write(&bytes.Buffer{}, in); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if err := Write(full, testInput()); err == nil {
		t.Error("a full disk is no error")
	}
	if err := WriteSources(full, testInput()); err == nil {
		t.Error("a full disk is no error")
	}
}

func TestLicences(t *testing.T) {
	for _, test := range []struct {
		declared []string
		want     string
	}{
		{nil, "null"},
		{[]string{"GPL-2+"}, `id:GPL-2.0-or-later`},
		{[]string{"BSD-3-Clause", "BSD-3-clause"}, `id:BSD-3-Clause`},
		{[]string{"GPL-2 or Expat"}, `expression:GPL-2.0-only OR MIT`},
		{[]string{"Expat", "GPL-2 or Expat and ISC"}, `expression:(GPL-2.0-only OR MIT AND ISC) AND MIT`},
		{[]string{"libpng OR Apache-2.0 OR BSD-3-clause"}, `expression:Libpng OR Apache-2.0 OR BSD-3-Clause`},
		{[]string{"Expat", "MIT", "GPL-2 or MIT"}, `id:MIT name:MIT name:GPL-2 or MIT`},
		{[]string{"GPL-2 with Linux-syscall-note exception"}, `name:GPL-2 with Linux-syscall-note exception`},
		{[]string{"GPL-2 or"}, `name:GPL-2 or`},
		{[]string{"LGPL-2.1", "LGPL-2.0+", "AGPL-3"},
			`expression:AGPL-3.0-only AND LGPL-2.0-or-later AND LGPL-2.1-only`},
		{[]string{"GPL-2.1"}, `name:GPL-2.1`},
	} {
		raw, err := json.Marshal(licences(test.declared))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.NewReplacer(
			`{"license":`, "", `,"acknowledgement":"declared"`, "",
			`[`, "", `]`, "", `{`, "", `}`, "", `"`, "", ",", " ",
		).Replace(string(raw))
		if got != test.want {
			t.Errorf("%q is %s, want %s", test.declared, got, test.want)
		}
	}
}

func TestWriteSources(t *testing.T) {
	var b strings.Builder
	if err := WriteSources(&b, testInput()); err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(b.String()) {
		if line != "\n" && !strings.HasPrefix(line, "#") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	want := []string{
		"gcc-14 14.2.0-19", "linux 6.12-1", "linux-signed-amd64 6.12+1", "zlib1g 1:1.3~rc1",
		"github.com/Some/module@v1.2.3+incompatible",
	}
	if !slices.Equal(list, want) || !strings.Contains(b.String(), "deb-src entry for trixie") {
		t.Errorf("got %q of\n%s", list, &b)
	}
}

// TestSPDX holds the table to the list that the schema allows.
func TestSPDX(t *testing.T) {
	var list struct{ Enum []string }
	loadSchema(t, "spdx.schema.json", &list)
	ids := []string{zerodiscLicence, goLicence}
	for _, id := range spdx {
		ids = append(ids, id)
	}
	for _, gnu := range []string{"GPL-1+", "GPL-2", "GPL-3.0-only", "LGPL-2", "LGPL-2.1+", "LGPL-3", "AGPL-3+"} {
		ids = append(ids, spdxID(gnu))
	}
	for _, id := range ids {
		if !slices.Contains(list.Enum, id) {
			t.Errorf("SPDX knows no %q", id)
		}
	}
}
