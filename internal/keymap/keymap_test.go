package keymap

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func sample() []Keyboard {
	plain, shift, other := (&Keyboard{}).of(0), (&Keyboard{}).of(1), (&Keyboard{}).of(0)
	plain[30], plain[44], shift[30] = 0x0b61, 0x0b7a, 0x0b41
	other[30], other[44] = 0x0b61, 0x0b79
	return []Keyboard{
		{Name: "us", Maps: map[uint8]*Map{0: &plain, 1: &shift}},
		{Name: "xx", Maps: map[uint8]*Map{0: &other, 128: &shift}, Compose: []Compose{{'"', 'a', 0xe4}}},
	}
}

func TestFind(t *testing.T) {
	layouts := sample()
	file := Encode(layouts)
	for _, want := range layouts {
		got, err := Find(file, want.Name)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %v, %v", want.Name, got, err)
		}
	}
	for n := range file {
		if k, err := Find(file[:n], "xx"); err == nil {
			t.Fatalf("%d bytes of %d: %v", n, len(file), k)
		}
	}
	if _, err := Find(file, "yy"); err == nil {
		t.Error("a layout that there is not was found")
	}
}

func TestNames(t *testing.T) {
	names := Names()
	for _, name := range names {
		layout := Layout(name)
		if !slices.ContainsFunc(Sources, func(s Source) bool { return s.Name == layout }) {
			t.Errorf("%s leads to %q, which is no layout", name, layout)
		}
	}
	if len(slices.Compact(names)) != len(Sources)+len(aliases) {
		t.Error("a name is given twice")
	}
	if got := Layout("none"); got != "" {
		t.Errorf("none is %q", got)
	}
}

func FuzzFind(f *testing.F) {
	f.Add(Encode(sample()), "xx")
	f.Fuzz(func(t *testing.T, file []byte, name string) {
		if k, err := Find(file, name); err == nil && (k.Name != name || len(k.Maps) == 0) {
			t.Errorf("%+v", k)
		}
	})
}

// TestDocumented holds docs/configuration.md to the layouts that there are.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\nLayouts: ")
	list, _, _ = strings.Cut(list, ".\n")
	var want []string
	for _, s := range Sources {
		want = append(want, "`"+s.Name+"`")
	}
	if got := strings.Join(strings.Fields(list), " "); got != strings.Join(want, ", ") {
		t.Errorf("docs/configuration.md has\n%s\nwant\n%s", got, strings.Join(want, ", "))
	}
}
