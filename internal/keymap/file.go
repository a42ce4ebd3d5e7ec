package keymap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Keys is how many keys the kernel knows, NR_KEYS (include/uapi/linux/keyboard.h).
const Keys = 256

// Hole is what a key does that does nothing, K_HOLE, in the form that KDSKBENT takes (ioctl_console(2)).
const Hole = 0x0200

// Map is what each key does together with some of Shift, AltGr, Ctrl and so on.
type Map [Keys]uint16

// Compose says what a dead key, or the key Compose, makes of two characters.
type Compose struct{ Accent, Base, Result uint16 }

// Keyboard is a whole layout.
type Keyboard struct {
	Name    string
	Maps    map[uint8]*Map // by their numbers in the kernel: 1 for Shift, 2 for AltGr, 4 for Ctrl, 8 for Alt
	Compose []Compose      // empty: the kernel's own are good
}

// magic is how a file begins.
const magic = "zerodisc keymaps 1\n"

// Encode writes layouts. All but the first are written as what differs from the first.
func Encode(layouts []Keyboard) []byte {
	b := []byte(magic)
	for i := range layouts {
		body := encode(&layouts[i], base(layouts, i))
		b = append(b, byte(len(layouts[i].Name)))
		b = append(b, layouts[i].Name...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
		b = append(b, body...)
	}
	return b
}

// base is what a layout is compared to.
func base(layouts []Keyboard, i int) *Keyboard {
	if i == 0 {
		return &Keyboard{}
	}
	return &layouts[0]
}

// of is a layout's map; a key of one that it has not does nothing.
func (k *Keyboard) of(number uint8) Map {
	if m := k.Maps[number]; m != nil {
		return *m
	}
	var m Map
	for i := range m {
		m[i] = Hole
	}
	return m
}

func encode(k, base *Keyboard) []byte {
	b := []byte{byte(len(k.Maps))}
	for number := range Keys {
		m := k.Maps[uint8(number)]
		if m == nil {
			continue
		}
		like := base.of(uint8(number))
		var changes []byte
		for key, does := range m {
			if does != like[key] {
				changes = binary.LittleEndian.AppendUint16(append(changes, byte(key)), does)
			}
		}
		b = append(b, byte(number))
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(changes)/3)), changes...)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(k.Compose)))
	for _, c := range k.Compose {
		b = binary.LittleEndian.AppendUint16(b, c.Accent)
		b = binary.LittleEndian.AppendUint16(b, c.Base)
		b = binary.LittleEndian.AppendUint16(b, c.Result)
	}
	return b
}

// Find returns the layout with that name of its own.
func Find(file []byte, name string) (*Keyboard, error) {
	r := &reader{rest: file}
	if !bytes.Equal(r.take(len(magic)), []byte(magic)) {
		return nil, errors.New("the file of keyboard layouts is damaged")
	}
	first := &Keyboard{}
	for len(r.rest) > 0 && !r.short {
		is := string(r.take(int(r.byte())))
		body := r.take(int(r.uint32()))
		if r.short {
			break
		}
		isFirst := len(first.Maps) == 0
		if !isFirst && is != name {
			continue
		}
		k, err := decode(is, body, first)
		if err != nil || is == name {
			return k, err
		}
		first = k
	}
	if r.short {
		return nil, errors.New("the file of keyboard layouts is cut off")
	}
	return nil, fmt.Errorf("the disc has no keyboard layout %q", name)
}

func decode(name string, body []byte, base *Keyboard) (*Keyboard, error) {
	r := &reader{rest: body}
	k := &Keyboard{Name: name, Maps: map[uint8]*Map{}}
	for range r.byte() {
		number := r.byte()
		m := base.of(number)
		for range r.uint16() {
			key := r.byte()
			m[key] = r.uint16()
		}
		k.Maps[number] = &m
	}
	for range r.uint16() {
		k.Compose = append(k.Compose, Compose{r.uint16(), r.uint16(), r.uint16()})
	}
	if r.short || len(r.rest) > 0 || len(k.Maps) == 0 || len(k.Compose) > MaxCompose {
		return nil, fmt.Errorf("keyboard layout %q is damaged", name)
	}
	return k, nil
}

// MaxCompose is how many the kernel takes, MAX_DIACR.
const MaxCompose = 256

// reader reads what may be cut off.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.rest, r.short = nil, true
		return make([]byte, max(0, min(n, 4)))
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return slices.Clip(taken)
}

func (r *reader) byte() uint8    { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
