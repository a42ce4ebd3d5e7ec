package power

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestHasKey(t *testing.T) {
	for _, c := range []struct {
		bitmap string
		want   bool
	}{
		{"10000000000000 0", true}, // the ACPI button: bit 116 alone
		{"0 0", false},
		{"", false},
		{"402000007 ff803078f800d001 feffffdfffefffff fffffffffffffffe", true},
		{"not hex", false},
	} {
		if got := hasKey(c.bitmap, keyPower); got != c.want {
			t.Errorf("hasKey(%q) = %v, want %v", c.bitmap, got, c.want)
		}
	}
}

func event(kind, code uint16, value uint32) []byte {
	e := make([]byte, eventSize)
	binary.LittleEndian.PutUint16(e[16:], kind)
	binary.LittleEndian.PutUint16(e[18:], code)
	binary.LittleEndian.PutUint32(e[20:], value)
	return e
}

func TestReadCountsPresses(t *testing.T) {
	stream := bytes.Join([][]byte{
		event(evKey, keyPower, 1), event(0, 0, 0), event(evKey, keyPower, 0), // down, sync, up
		event(evKey, 30, 1), // another key
		event(evKey, keyPower, 1),
		{1, 2, 3}, // the device went away in the middle
	}, nil)
	presses := 0
	read(bytes.NewReader(stream), func() { presses++ })
	if presses != 2 {
		t.Errorf("%d presses, want 2", presses)
	}
}
