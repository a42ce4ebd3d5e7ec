package kmod

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// targets lists where each relocation of a file points: to a place in a section, or to a symbol of somebody else's.
func targets(t *testing.T, data []byte) []string {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := file.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, section := range file.Sections {
		if section.Type != elf.SHT_RELA {
			continue
		}
		text, err := section.Data()
		if err != nil {
			t.Fatal(err)
		}
		for ; len(text) >= relocationBytes; text = text[relocationBytes:] {
			var r relocation
			binary.Decode(text, binary.LittleEndian, &r)
			to := "nothing"
			if n := r.Info >> 32; n > 0 && uint32(r.Info) != uint32(elf.R_X86_64_NONE) {
				symbol := symbols[n-1]
				to = fmt.Sprintf("%s+%d", symbol.Name, r.Addend)
				if int(symbol.Section) < len(file.Sections) && symbol.Section != elf.SHN_UNDEF {
					to = fmt.Sprintf("%d:%d", symbol.Section, int64(symbol.Value)+r.Addend)
				}
			}
			list = append(list, fmt.Sprintf("%d+%d %d %s", section.Info, r.Off, r.Info&0xffffffff, to))
		}
	}
	return list
}

// withSymbols makes a module with symbols in .text (1) and .bss (2), one of another's, and relocations of .text.
func withSymbols(t *testing.T, kinds ...elf.R_X86_64) []byte {
	t.Helper()
	names := "\x00local\x00global\x00printk\x00exported\x00data\x00"
	name := func(s string) uint32 { return uint32(strings.Index(names, "\x00"+s+"\x00") + 1) }
	symbols := []elf.Sym64{
		{},
		{Info: elf.ST_INFO(elf.STB_LOCAL, elf.STT_SECTION), Shndx: 1},
		{Name: name("local"), Info: elf.ST_INFO(elf.STB_LOCAL, elf.STT_FUNC), Shndx: 1, Value: 16},
		{Name: name("global"), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: 1, Value: 32},
		{Name: name("printk"), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_NOTYPE)},
		{Name: name("data"), Info: elf.ST_INFO(elf.STB_WEAK, elf.STT_OBJECT), Shndx: 2, Value: 8},
	}
	var relocations []relocation
	for i := range symbols {
		for _, kind := range kinds {
			relocations = append(relocations, relocation{uint64(8 * i), uint64(i)<<32 | uint64(kind), int64(i) - 4})
		}
	}
	text := func(v any) string {
		data, err := binary.Append(nil, binary.LittleEndian, v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	file := moduleFile([2]string{".text", strings.Repeat("code", 30)}, [2]string{".data", "data"},
		[2]string{".symtab", text(symbols)}, [2]string{".strtab", names}, [2]string{".rela", text(relocations)})
	header, sections, err := readSections(file)
	if err != nil {
		t.Fatal(err)
	}
	sections[3].Type, sections[3].Link, sections[3].Info = uint32(elf.SHT_SYMTAB), 4, 3
	sections[3].Entsize = elf.Sym64Size
	sections[4].Type = uint32(elf.SHT_STRTAB)
	sections[5].Link, sections[5].Info = 3, 1
	copy(file[header.Shoff:], text(sections))
	return file
}

func TestSymbolsAreDropped(t *testing.T) {
	plain := withSymbols(t, countable...)
	stripped, err := Strip(plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := targets(t, stripped), targets(t, plain); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if bytes.Contains(stripped, []byte("global")) || !bytes.Contains(stripped, []byte("printk")) {
		t.Errorf("symbols: %q", stripped)
	}
	again, err := Strip(stripped)
	if err != nil || !bytes.Equal(again, stripped) {
		t.Errorf("stripped a second time: %v, %d bytes, want %d", err, len(again), len(stripped))
	}
	if _, err := Strip(withSymbols(t, elf.R_X86_64_GOTPCREL)); err == nil {
		t.Error("a relocation that needs its symbol was rewritten")
	}
}

// TestSymbolsOfRealModules compares the modules of this machine's kernel, where there are some.
func TestSymbolsOfRealModules(t *testing.T) {
	n := 0
	_ = filepath.WalkDir("/lib/modules", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".ko" {
			return nil
		}
		plain, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err = TrimSignature(plain); err != nil {
			t.Fatal(err)
		}
		header, sections, err := readSections(plain)
		if err != nil {
			t.Fatal(err)
		}
		file, err := dropSymbols(plain, sections)
		if err == nil {
			file, err = layOut(file, header, sections)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return nil
		}
		if got, want := targets(t, file), targets(t, plain); !slices.Equal(got, want) {
			t.Errorf("%s: relocations point elsewhere", name)
		}
		n++
		return nil
	})
	if n == 0 {
		t.Skip("no module in /lib/modules is uncompressed")
	}
	t.Logf("%d modules", n)
}
