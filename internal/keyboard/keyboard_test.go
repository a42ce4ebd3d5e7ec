package keyboard

import (
	"bytes"
	"testing"

	"github.com/zerodisc/zerodisc/internal/keymap"
)

func TestEntries(t *testing.T) {
	var plain, alt keymap.Map
	plain[30], alt[60] = 0x0b61, 0x0501
	list := entries(&keymap.Keyboard{Maps: map[uint8]*keymap.Map{0: &plain, 8: &alt}})
	if len(list) != 2*keymap.Keys+254 {
		t.Errorf("%d entries", len(list))
	}
	want := map[[2]uint8]uint16{{0, 30}: 0x0b61, {8, 60}: 0x0501, {1, 0}: noSuchMap, {255, 0}: noSuchMap}
	for _, e := range list {
		place := [2]uint8{e.number, e.key}
		if does, ok := want[place]; ok && e.does != does {
			t.Errorf("key %d of map %d does %#x, want %#x", e.key, e.number, e.does, does)
		}
		delete(want, place)
	}
	if len(want) > 0 {
		t.Errorf("%v are not set", want)
	}
}

func TestComposeTable(t *testing.T) {
	table := composeTable([]keymap.Compose{{Accent: '"', Base: 'u', Result: 0x171}})
	want := []byte{1, 0, 0, 0, '"', 0, 0, 0, 'u', 0, 0, 0, 0x71, 1, 0, 0, 0}
	if !bytes.HasPrefix(table, want) || len(table) != 4+256*12 {
		t.Errorf("%d bytes, %v", len(table), table[:20])
	}
}
