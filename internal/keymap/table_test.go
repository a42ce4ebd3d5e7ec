package keymap

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// written is what loadkeys writes of a keymap with two maps.
func written(maps, compose string) []byte {
	table := func(name string, key int, value string) string {
		fields := strings.Split(strings.Repeat("0xf200,", Keys-1)+"0xf200", ",")
		fields[key] = value
		return fmt.Sprintf("unsigned short %s[NR_KEYS] = {\n\t%s\n};\n", name, strings.Join(fields, ",\t"))
	}
	return []byte("#include <linux/keyboard.h>\n" + table("plain_map", 30, "0xfb61") +
		"static " + table("altgr_map", 18, "0x20ac") +
		"unsigned short *key_maps[MAX_NR_KEYMAPS] = {\n\t" + maps + "\n};\n" +
		"struct kbdiacruc accent_table[MAX_DIACR] = {\n" + compose + "};\n")
}

func TestParseTable(t *testing.T) {
	k, err := ParseTable(written("plain_map, 0, altgr_map,\t0",
		"\t{'\\'', 'a', 0x00e1},\t{'{', '\\1621', '\\344'},\n"))
	if err != nil {
		t.Fatal(err)
	}
	if k.Maps[0][30] != 0x0b61 || k.Maps[0][31] != Hole || k.Maps[2][18] != 0xd0ac || len(k.Maps) != 2 {
		t.Errorf("%#x %#x %#x, %d maps", k.Maps[0][30], k.Maps[0][31], k.Maps[2][18], len(k.Maps))
	}
	want := []Compose{{'\'', 'a', 0xe1}, {'{', 0x391, 0xe4}}
	if !reflect.DeepEqual(k.Compose, want) {
		t.Errorf("%v, want %v", k.Compose, want)
	}
	other := &Keyboard{Maps: map[uint8]*Map{0: new(Map)}}
	other.Maps[0][60] = 0x0501
	k.Fill(other)
	if k.Maps[0][60] != 0x0501 || k.Maps[0][30] != 0x0b61 || k.Maps[2][60] != Hole {
		t.Errorf("filled up: %#x %#x %#x", k.Maps[0][60], k.Maps[0][30], k.Maps[2][60])
	}
}

func TestParseTableRefuses(t *testing.T) {
	for name, text := range map[string][]byte{
		"nothing":            nil,
		"a map that is none": written("plain_map, other_map", ""),
		"no plain map":       written("0, altgr_map", ""),
		"no character":       written("plain_map", "\t{'ab', 'c', 'd'},\n"),
		"cut off":            []byte(strings.Replace(string(written("plain_map", "")), "0xf200,", "", 1)),
	} {
		if k, err := ParseTable(text); err == nil {
			t.Errorf("%s: %v", name, k)
		}
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add(written("plain_map, altgr_map", "\t{'`', 'A', 0x00c0},\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = ParseTable(text) })
}
