package payload

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseStanzas(t *testing.T) {
	text := "# comment\nPackage: one\nDepends: a,\n b (>= 1)\n\n \nPackage: two\nempty:\nDescription: x\n .\n y\n"
	got, err := parseStanzas(strings.NewReader(text))
	want := []stanza{
		{"package": "one", "depends": "a,\nb (>= 1)"},
		{"package": "two", "empty": "", "description": "x\n.\ny"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{" x\n", "a: b\n\n x\n", "nothing\n", ": x\n", "a: " + strings.Repeat("x", maxLine)} {
		if _, err := parseStanzas(strings.NewReader(bad)); err == nil || !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestParseRelation(t *testing.T) {
	got := parseRelation("python3:any (>= 3.13~), a | b(= 1) [amd64],\nc <!nocheck>,,")
	want := [][]string{{"python3"}, {"a", "b"}, {"c"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestSplitSource(t *testing.T) {
	for field, want := range map[string]Source{
		"":                              {"name", "1"},
		"glibc":                         {"glibc", "1"},
		"linux-signed-amd64 (6.12.1+1)": {"linux-signed-amd64", "6.12.1+1"},
	} {
		if source := splitSource(field, "name", "1"); source != want {
			t.Errorf("%q: %s", field, source)
		}
	}
}

func TestSourcesOf(t *testing.T) {
	got := sourcesOf(stanza{
		"package": "image", "version": "1", "source": "image-signed (1+2)",
		"built-using":        "linux (= 6.12-1), gcc-14 (= 14.2),\nlinux (= 6.12-1)",
		"static-built-using": "golang-x (= 1:0~1)",
	})
	want := []Source{{"image-signed", "1+2"}, {"gcc-14", "14.2"}, {"golang-x", "1:0~1"}, {"linux", "6.12-1"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPackageCheck(t *testing.T) {
	good := Package{
		Name: "libstdc++6", Version: "1:2-3", Arch: "amd64", Size: 1, SHA256: strings.Repeat("0a", 32),
		Sources: []Source{{"gcc-14", "2-3"}},
	}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(*Package){
		func(p *Package) { p.Name = "-o=x" },
		func(p *Package) { p.Name = "a/b" },
		func(p *Package) { p.Name = "" },
		func(p *Package) { p.Version = "1 2" },
		func(p *Package) { p.Version = "../1" },
		func(p *Package) { p.SHA256 = "../../../x" },
		func(p *Package) { p.SHA256 = "0a" },
		func(p *Package) { p.SHA256 = strings.ToUpper(p.SHA256) },
		func(p *Package) { p.Arch = "../amd64" },
		func(p *Package) { p.Size = -1 },
		func(p *Package) { p.Sources = nil },
		func(p *Package) { p.Sources = []Source{{"gcc 14", "2-3"}} },
		func(p *Package) { p.Sources = []Source{{"gcc-14", ""}} },
	} {
		bad := good
		spoil(&bad)
		if bad.check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestParseSimulation(t *testing.T) {
	out := "NOTE: x\n" +
		"Inst libc6 (2.41-12 Debian:13.1/stable [amd64])\n" +
		"Inst a (1:1 Debian:13.1/stable, Debian-Security:13 [all]) []\n" +
		"Conf libc6 (2.41-12)\n"
	got, err := parseSimulation(out)
	if err != nil || !reflect.DeepEqual(got, []string{"libc6=2.41-12", "a=1:1"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "Inst a [1] (2 x)\n"} {
		if got, err := parseSimulation(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func FuzzParseStanzas(f *testing.F) {
	f.Add("Package: one\nDepends: a,\n b (>= 1) | c:any\nProvides: d (= 1)\nSize: 1\n\nPackage: two\n")
	f.Fuzz(func(t *testing.T, text string) {
		stanzas, err := parseStanzas(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, s := range stanzas {
			if len(s) == 0 {
				t.Error("stanza without fields")
			}
			if p, err := packageFromStanza(s); err == nil && strings.ContainsAny(p.Name+p.SHA256, "/ \n") {
				t.Errorf("dangerous name %q", p.Name)
			}
		}
		sourcesOfStanzas(stanzas)
		if len(stanzas) > 0 {
			needed(stanzas, []string{stanzas[0]["package"]})
		}
	})
}
