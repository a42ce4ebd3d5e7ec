package keymap

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Parts of what `loadkeys --mktable --unicode` writes: a source file of the kernel's, as its
// drivers/tty/vt/defkeymap.c_shipped.
var (
	tablePattern   = regexp.MustCompile(`(?s)unsigned short (\w+)\[NR_KEYS\] = \{(.*?)\};`)
	mapsPattern    = regexp.MustCompile(`(?s)\*key_maps\[MAX_NR_KEYMAPS\] = \{(.*?)\};`)
	composePattern = regexp.MustCompile(`(?s)accent_table\[MAX_DIACR\] = \{(.*?)\n\};`)
	accentPattern  = regexp.MustCompile(`\{` + number + `, ` + number + `, ` + number + `\}`)
)

// number is a character there: in quotes, where it may be an octal number, or as a hexadecimal one.
const number = `('[^\\\n]'|'\\[^0-7\n]'|'\\[0-7]{3,6}'|0x[0-9a-f]+)`

// kernelForm is what a value has in the kernel's tables above what KDSKBENT takes, its macro U.
const kernelForm = 0xf000

// ParseTable reads what loadkeys has made of a keymap.
func ParseTable(text []byte) (*Keyboard, error) {
	tables := map[string]*Map{}
	for _, found := range tablePattern.FindAllSubmatch(text, -1) {
		m, err := parseMap(string(found[2]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", found[1], err)
		}
		tables[string(found[1])] = m
	}
	order := mapsPattern.FindSubmatch(text)
	if order == nil {
		return nil, errors.New("loadkeys wrote no list of maps")
	}
	k := &Keyboard{Maps: map[uint8]*Map{}}
	for i, name := range strings.Split(string(order[1]), ",") {
		name = strings.TrimSpace(name)
		if name == "0" || name == "" {
			continue
		}
		if tables[name] == nil || i >= Keys {
			return nil, fmt.Errorf("loadkeys wrote no map %s", name)
		}
		k.Maps[uint8(i)] = tables[name]
	}
	if k.Maps[0] == nil {
		return nil, errors.New("loadkeys wrote no map without modifiers")
	}
	var err error
	k.Compose, err = parseCompose(text)
	return k, err
}

func parseMap(text string) (*Map, error) {
	var m Map
	n := 0
	for field := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(", \t\n", r) }) {
		value, err := strconv.ParseUint(field, 0, 16)
		if err != nil {
			return nil, err
		}
		if n < Keys {
			m[n] = uint16(value) ^ kernelForm
		}
		n++
	}
	if n != Keys {
		return nil, fmt.Errorf("%d keys, want %d", n, Keys)
	}
	return &m, nil
}

func parseCompose(text []byte) ([]Compose, error) {
	table := composePattern.FindSubmatch(text)
	if table == nil {
		return nil, nil
	}
	var list []Compose
	for _, found := range accentPattern.FindAllSubmatch(table[1], -1) {
		var c Compose
		for i, into := range []*uint16{&c.Accent, &c.Base, &c.Result} {
			value, err := character(string(found[i+1]))
			if err != nil {
				return nil, err
			}
			*into = value
		}
		list = append(list, c)
	}
	if want := strings.Count(string(table[1]), "{"); len(list) < want-strings.Count(string(table[1]), "'{'") {
		return nil, fmt.Errorf("%d of %d lines of the compose table can be read", len(list), want)
	}
	return list, nil
}

// character reads what number matches.
func character(text string) (uint16, error) {
	quoted, isQuoted := strings.CutPrefix(text, "'")
	if !isQuoted {
		value, err := strconv.ParseUint(text, 0, 16)
		return uint16(value), err
	}
	plain := strings.TrimPrefix(strings.TrimSuffix(quoted, "'"), `\`)
	if len(plain) == 1 {
		return uint16(plain[0]), nil
	}
	value, err := strconv.ParseUint(plain, 8, 16)
	return uint16(value), err
}

// Fill has keys that a layout says nothing of do what they do in base, as loadkeys leaves them when it loads a layout.
func (k *Keyboard) Fill(base *Keyboard) {
	for number, m := range k.Maps {
		like := base.of(number)
		for key, does := range m {
			if does == Hole {
				m[key] = like[key]
			}
		}
	}
}
