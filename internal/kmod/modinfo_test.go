package kmod

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const modinfoText = "license=GPL\x00\x00alias=pci:v1*\x00alias=pci:v2*\x00depends=mii,i2c-core\x00" +
	"softdep=pre: crypto-crc32c b post: c\x00softdep=lost pre: d\x00firmware=rtl_nic/a.fw\x00" +
	"name=r8169\x00broken\x00=x\x00"

func TestParseModinfo(t *testing.T) {
	got := ParseModinfo(modinfoText)
	want := Modinfo{
		Name: "r8169", Aliases: []string{"pci:v1*", "pci:v2*"}, Depends: []string{"mii", "i2c_core"},
		Pre: []string{"crypto_crc32c", "b", "d"}, Post: []string{"c"}, Firmware: []string{"rtl_nic/a.fw"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseBuiltin(t *testing.T) {
	got := ParseBuiltin("snd-x.license=GPL\x00snd-x.alias=a-b\x00unix.license=GPL\x00unix.alias=net-pf-1\x00junk\x00")
	want := []Builtin{{"snd_x", []string{"a-b"}}, {"unix", []string{"net-pf-1"}}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// moduleFile makes a relocatable ELF file with the named sections, in order. A name that starts
// with ".rela" relocates the section before it.
func moduleFile(sections ...[2]string) []byte {
	names := "\x00"
	headers := []elf.Section64{{}}
	body := bytes.NewBuffer(make([]byte, headerBytes))
	add := func(name, data string, kind elf.SectionType) {
		for body.Len()%16 != 0 {
			body.WriteByte(0)
		}
		headers = append(headers, elf.Section64{
			Name: uint32(len(names)), Type: uint32(kind), Off: uint64(body.Len()),
			Size: uint64(len(data)), Addralign: 16,
		})
		names += name + "\x00"
		body.WriteString(data)
	}
	for _, s := range sections {
		if strings.HasPrefix(s[0], ".rela") {
			add(s[0], s[1], elf.SHT_RELA)
			headers[len(headers)-1].Info = uint32(len(headers) - 2)
			continue
		}
		add(s[0], s[1], elf.SHT_PROGBITS)
	}
	names += ".shstrtab\x00"
	headers = append(headers, elf.Section64{
		Name: uint32(len(names) - len(".shstrtab\x00")), Type: uint32(elf.SHT_STRTAB),
		Off: uint64(body.Len()), Size: uint64(len(names)), Addralign: 1,
	})
	body.WriteString(names)
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: uint64(body.Len()), Ehsize: uint16(headerBytes), Shentsize: uint16(sectionBytes),
		Shnum: uint16(len(headers)), Shstrndx: uint16(len(headers) - 1),
	}
	binary.Write(body, binary.LittleEndian, headers)
	out := body.Bytes()
	binary.Encode(out, binary.LittleEndian, header)
	return out
}

// sign appends what looks like a signature of n bytes.
func sign(file []byte, n int) []byte {
	info := make([]byte, signatureInfoBytes)
	binary.BigEndian.PutUint32(info[8:], uint32(n))
	return slices.Concat(file, bytes.Repeat([]byte{0xee}, n), info, []byte(signatureMagic))
}

func exampleModule() []byte {
	return moduleFile([2]string{".text", "code"}, [2]string{".rela.text", "relocations"},
		[2]string{".modinfo", modinfoText},
		[2]string{".orc_unwind_ip", "places"}, [2]string{".rela.orc_unwind_ip", "more relocations"},
		[2]string{".BTF", strings.Repeat("types", 100)}, [2]string{".data", "data"})
}

func TestReadModinfo(t *testing.T) {
	info, err := ReadModinfo(bytes.NewReader(exampleModule()))
	if err != nil || info.Name != "r8169" {
		t.Errorf("got %+v, %v", info, err)
	}
	for name, file := range map[string][]byte{
		"not ELF":     []byte("hello"),
		"no .modinfo": moduleFile([2]string{".text", "x"}),
	} {
		if _, err := ReadModinfo(bytes.NewReader(file)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestStrip(t *testing.T) {
	plain := exampleModule()
	got, err := Strip(sign(plain, 300))
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.NewFile(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{".text": "code", ".rela.text": "relocations", ".modinfo": modinfoText, ".data": "data"}
	for i, s := range file.Sections {
		if s.Type == elf.SHT_NULL || s.Name == ".shstrtab" {
			continue
		}
		data, err := s.Data()
		if err != nil || string(data) != want[s.Name] || s.Offset%s.Addralign != 0 {
			t.Errorf("section %d %s at %d: %q, %v", i, s.Name, s.Offset, data, err)
		}
		delete(want, s.Name)
	}
	if len(want) != 0 || len(file.Sections) != 9 {
		t.Errorf("%d sections, want the 9 there were; without %v", len(file.Sections), want)
	}
	if len(got) > len(plain)-500 {
		t.Errorf("%d bytes of %d are left", len(got), len(plain))
	}
}

func TestTrimSignature(t *testing.T) {
	plain := []byte("module")
	for name, file := range map[string][]byte{"signed": sign(plain, 5), "unsigned": plain} {
		if got, err := TrimSignature(file); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, file := range map[string][]byte{"no room": []byte(signatureMagic), "too long": sign(nil, 5)[2:]} {
		if _, err := TrimSignature(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzModule(f *testing.F) {
	f.Add(exampleModule())
	f.Add(sign(exampleModule(), 3))
	f.Fuzz(func(t *testing.T, file []byte) {
		ReadModinfo(bytes.NewReader(file))
		stripped, err := Strip(file)
		if err != nil {
			return
		}
		if _, err := Strip(stripped); err != nil {
			t.Errorf("what was stripped cannot be read: %v", err)
		}
	})
}

func FuzzParseModinfo(f *testing.F) {
	f.Add(modinfoText)
	f.Fuzz(func(t *testing.T, text string) {
		ParseModinfo(text)
		ParseBuiltin(text)
	})
}
