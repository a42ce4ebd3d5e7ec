package kmod

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxModinfoBytes bounds the .modinfo section; Debian's largest has 140 KiB.
const maxModinfoBytes = 4 << 20

// Modinfo is what a module says about itself in its .modinfo section.
type Modinfo struct {
	Name     string
	Aliases  []string
	Depends  []string // direct dependencies
	Pre      []string // soft dependencies to load before
	Post     []string // soft dependencies to load after
	Firmware []string // files the module may ask the kernel to load, relative to /lib/firmware
}

// ReadModinfo reads the .modinfo section of a module (.ko, an ELF relocatable file).
func ReadModinfo(r io.ReaderAt) (Modinfo, error) {
	file, err := elf.NewFile(r)
	if err != nil {
		return Modinfo{}, fmt.Errorf("read module: %w", err)
	}
	section := file.Section(".modinfo")
	if section == nil {
		return Modinfo{}, errors.New("read module: no .modinfo section: not a kernel module")
	}
	if section.Type == elf.SHT_NOBITS || section.FileSize > maxModinfoBytes {
		return Modinfo{}, fmt.Errorf("read module: .modinfo section of %d bytes", section.FileSize)
	}
	data, err := section.Data()
	if err != nil {
		return Modinfo{}, fmt.Errorf("read module: section .modinfo: %w", err)
	}
	return ParseModinfo(string(data)), nil
}

// ParseModinfo reads the text of a .modinfo section: "key=value" strings that end with a NUL.
// Unknown keys are passed over.
func ParseModinfo(text string) Modinfo {
	var info Modinfo
	for entry := range strings.SplitSeq(text, "\x00") {
		key, value, ok := strings.Cut(entry, "=")
		if ok && value != "" {
			info.add(key, value)
		}
	}
	return info
}

func (m *Modinfo) add(key, value string) {
	switch key {
	case "name":
		m.Name = Normalize(value)
	case "alias":
		m.Aliases = append(m.Aliases, value)
	case "depends":
		for name := range strings.SplitSeq(value, ",") {
			if name != "" {
				m.Depends = append(m.Depends, Normalize(name))
			}
		}
	case "softdep":
		m.addSoftdep(value)
	case "firmware":
		m.Firmware = append(m.Firmware, value)
	}
}

// addSoftdep reads "pre: a b post: c". Names before the first keyword mean nothing to modprobe
// (Linux 6.12's cifs has such lines) and are passed over.
func (m *Modinfo) addSoftdep(value string) {
	var list *[]string
	for _, word := range strings.Fields(value) {
		switch {
		case word == "pre:":
			list = &m.Pre
		case word == "post:":
			list = &m.Post
		case list != nil:
			*list = append(*list, Normalize(word))
		}
	}
}

// ParseBuiltin reads modules.builtin.modinfo: strings "module.key=value" that end with a NUL.
func ParseBuiltin(text string) []Builtin {
	var all []Builtin
	at := map[string]int{}
	for entry := range strings.SplitSeq(text, "\x00") {
		name, rest, ok := strings.Cut(entry, ".")
		if !ok || name == "" {
			continue
		}
		name = Normalize(name)
		if _, ok := at[name]; !ok {
			at[name] = len(all)
			all = append(all, Builtin{Name: name})
		}
		if alias, ok := strings.CutPrefix(rest, "alias="); ok && alias != "" {
			all[at[name]].Aliases = append(all[at[name]].Aliases, alias)
		}
	}
	return all
}
