package initramfs

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/zerodisc/zerodisc/internal/kmod"
)

// fakeModule makes an ELF file that is a module as far as .modinfo goes.
func fakeModule(modinfo string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	headerSize := binary.Size(elf.Header64{})
	info := strings.ReplaceAll(modinfo, " | ", "\x00") + "\x00"
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: uint64(headerSize), Size: uint64(len(info)), Addralign: 1},
		{
			Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(headerSize + len(info)),
			Size: uint64(len(names)), Addralign: 1,
		},
	}
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: uint64(headerSize + len(info) + len(names)), Ehsize: uint16(headerSize),
		Shentsize: uint16(binary.Size(elf.Section64{})), Shnum: uint16(len(sections)), Shstrndx: 2,
	}
	var out bytes.Buffer
	binary.Write(&out, binary.LittleEndian, header)
	out.WriteString(info + names)
	binary.Write(&out, binary.LittleEndian, sections)
	return out.Bytes()
}

// fakeKernel is a kernel's directory of modules: .modinfo by path.
var fakeKernel = map[string]string{
	"kernel/drivers/net/ethernet/intel/e1000e/e1000e": "name=e1000e | depends=ptp | " +
		"alias=pci:v00008086d000010D3* | firmware=intel/e1000e.bin",
	"kernel/drivers/net/ethernet/8390/ne2k-pci": "name=ne2k_pci | depends=8390 | alias=pci:v000010ECd00008029*",
	"kernel/drivers/net/ethernet/8390/8390":     "name=8390",
	"kernel/drivers/net/ethernet/mega/huge":     "name=huge",
	"kernel/drivers/ptp/ptp":                    "name=ptp | depends=pps_core",
	"kernel/drivers/pps/pps_core":               "name=pps_core",
	"kernel/fs/ext4/ext4": "name=ext4 | depends=jbd2 | " +
		"softdep=pre: crypto-crc32c | alias=fs-ext4",
	"kernel/fs/jbd2/jbd2":          "name=jbd2 | softdep=post: extra nowhere",
	"kernel/fs/extra":              "name=extra",
	"kernel/crypto/crc32c_generic": "name=crc32c_generic | alias=crypto-crc32c",
	"kernel/sound/snd":             "name=snd",
}

// writeFakeKernel writes the directory the way Debian's packages have it.
func writeFakeKernel(t *testing.T, kernel map[string]string) string {
	t.Helper()
	root := t.TempDir()
	write := func(name string, data []byte) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var order []string
	for file, modinfo := range kernel {
		var packed bytes.Buffer
		w, err := xz.NewWriter(&packed)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(fakeModule(modinfo))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		write(file+".ko.xz", packed.Bytes())
		order = append(order, file+".ko")
	}
	slices.Sort(order)
	write("modules.order", []byte(strings.Join(order, "\n")+"\n"))
	write("modules.builtin.modinfo", []byte("unix.license=GPL\x00unix.alias=net-pf-1\x00"))
	return root
}

func selectFake(t *testing.T, spec string) (*ModuleSelection, error) {
	return selectFakeFor(t, spec, false)
}

func selectFakeFor(t *testing.T, spec string, firmware bool) (*ModuleSelection, error) {
	return SelectModules(t.Context(), ModuleRequest{
		Root: writeFakeKernel(t, fakeKernel), SpecName: "list.txt", Spec: spec, Firmware: firmware,
		Dir: filepath.Join(t.TempDir(), "out"),
	})
}

const fakeSpec = `# a list
[ethernet]
drivers/net/ethernet/**
!drivers/net/ethernet/mega/*   # too large
[filesystems]
ext4
crc32c-generic
`

func TestSelectModules(t *testing.T) {
	s, err := selectFake(t, fakeSpec)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.Modules {
		got = append(got, m.Category+":"+m.Name+"("+strings.Join(m.Deps, ",")+")")
		if info, err := os.Stat(filepath.Join(s.Dir, m.Path)); err != nil || info.Size() != m.Bytes {
			t.Errorf("%s: %v", m.Path, err)
		}
	}
	want := []string{
		"ethernet:8390()", "filesystems:crc32c_generic()", "ethernet:e1000e(pps_core,ptp)", "filesystems:ext4(jbd2)",
		"filesystems:extra()", "filesystems:jbd2()", "ethernet:ne2k_pci(8390)", "ethernet:pps_core()",
		"ethernet:ptp(pps_core)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if want := []string{"jbd2: nowhere"}; !slices.Equal(s.Unresolved, want) {
		t.Errorf("unresolved %q, want %q", s.Unresolved, want)
	}
	if m, _ := s.find("e1000e"); !slices.Equal(m.Firmware, []string{"intel/e1000e.bin"}) || m.NeedsFirmware {
		t.Errorf("e1000e is %+v", m)
	}
	index, err := kmod.OpenIndex(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if modules, _ := index.Resolve("pci:v000010ECd00008029sv0"); len(modules) != 1 || modules[0].Name != "ne2k_pci" {
		t.Errorf("the index finds %v for a NE2000", modules)
	}
}

// TestFirmwareOnly has a driver that is on a disc with firmware only, and one that is on neither.
func TestFirmwareOnly(t *testing.T) {
	spec := "[ethernet]\ndrivers/net/ethernet/**\n?drivers/net/ethernet/intel/**\n!huge\n"
	for _, test := range []struct {
		firmware bool
		want     []string
	}{
		{false, []string{"8390", "ne2k_pci"}},
		{true, []string{"8390", "e1000e", "ne2k_pci", "pps_core", "ptp"}},
	} {
		s, err := selectFakeFor(t, spec, test.firmware)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range s.Modules {
			got = append(got, m.Name)
			if m.NeedsFirmware != (m.Name == "e1000e") || m.Category != "ethernet" {
				t.Errorf("%s: needs firmware: %v, category %s", m.Name, m.NeedsFirmware, m.Category)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("with firmware %v: got %q, want %q", test.firmware, got, test.want)
		}
		if _, err := selectFakeFor(t, "ext4\n?e1000e\n", test.firmware); err == nil ||
			!strings.Contains(err.Error(), `list.txt:2: "?e1000e" takes out nothing`) {
			t.Errorf("with firmware %v: a line about what is not selected: %v", test.firmware, err)
		}
	}
}

func TestWriteSubset(t *testing.T) {
	s, err := selectFake(t, fakeSpec)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "early")
	if err := s.WriteSubset(dir, "e1000e"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		files = append(files, e.Name())
	}
	if want := []string{"e1000e.ko", kmod.IndexName, "pps_core.ko", "ptp.ko"}; !slices.Equal(files, want) {
		t.Errorf("files %q, want %q", files, want)
	}
	if err := s.WriteSubset(dir, "snd"); err == nil || !strings.Contains(err.Error(), "snd is not selected") {
		t.Errorf("a module that is not selected: %v", err)
	}
}

func TestCheckOrder(t *testing.T) {
	s, err := selectFake(t, fakeSpec)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		names []string
		want  string // "" for none
	}{
		{[]string{"pps_core", "8390"}, ""},
		{[]string{"pps_core", "ptp", "e1000e"}, ""},
		{[]string{"8390", "ptp"}, "module ptp needs pps_core, which stage1 does not load before it"},
		{[]string{"ptp", "pps_core"}, "module ptp needs pps_core"},
		{[]string{"snd"}, "module snd is not selected"},
	} {
		err := s.checkOrder(test.names...)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.names, err, test.want)
		}
	}
}

func TestSelectModulesRefuses(t *testing.T) {
	for name, test := range map[string]struct{ spec, want string }{
		"nothing matches":  {"# x\n\ndrivers/nothing/*\n", `list.txt:3: "drivers/nothing/*" matches no module`},
		"no such name":     {"e1000e\ne1001\n", `list.txt:2: "e1001" matches`},
		"nothing to drop":  {"ext4\n!snd\n", `list.txt:2: "!snd" takes out nothing`},
		"two on a line":    {"ext4 snd\n", "list.txt:1:"},
		"star is one name": {"drivers/net/ethernet/*\n", "list.txt:1:"},
	} {
		_, err := selectFake(t, test.spec)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

func TestSelectModulesBrokenKernel(t *testing.T) {
	for name, test := range map[string]struct {
		kernel map[string]string
		want   string
	}{
		"empty":        {nil, "no .ko or .ko.xz files"},
		"need missing": {map[string]string{"kernel/a": "depends=b"}, "module a needs b"},
		"loop":         {map[string]string{"kernel/a": "depends=b", "kernel/b": "depends=a"}, "need each other"},
		"name twice":   {map[string]string{"kernel/x-y": "", "kernel/d/x_y": ""}, "two modules x_y"},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		_, err := SelectModules(t.Context(), ModuleRequest{
			Root: writeFakeKernel(t, test.kernel), SpecName: "list.txt", Spec: "a\n", Dir: dir,
		})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
	}
}

// firmwareOnly are drivers that do nothing without firmware, below kernel/.
var firmwareOnly = []string{
	"drivers/net/ethernet/broadcom/bnx2", "drivers/net/ethernet/broadcom/bnx2x/bnx2x",
	"drivers/net/ethernet/qlogic/qed/qed", "drivers/net/ethernet/qlogic/qede/qede",
	"drivers/net/ethernet/cavium/liquidio/liquidio", "drivers/net/ethernet/netronome/nfp/nfp",
	"drivers/net/ethernet/brocade/bna/bna", "drivers/usb/storage/ums_eneub6250",
}

// TestModulesSpec holds the list to its own form; that each line matches is seen when the disc
// is built, against the kernel it is built with.
func TestModulesSpec(t *testing.T) {
	seen := map[string]int{}
	needy := map[string]bool{}
	category := ""
	for i, line := range strings.Split(ModulesSpec, "\n") {
		text, _, _ := strings.Cut(line, "#")
		text = strings.TrimSpace(text)
		switch {
		case text == "":
			continue
		case strings.HasPrefix(text, "["):
			category = text
			continue
		case category == "":
			t.Errorf("%s:%d: %q stands under no category", ModulesSpecName, i+1, text)
		case seen[text] != 0:
			t.Errorf("%s:%d: %q stands in line %d, too", ModulesSpecName, i+1, text, seen[text])
		}
		mark, pattern := splitMark(text)
		expression, err := compileModulePattern(pattern)
		if err != nil {
			t.Errorf("%s:%d: %v", ModulesSpecName, i+1, err)
			continue
		}
		for _, module := range firmwareOnly {
			if mark == needsFirmware && expression.MatchString(module) {
				needy[module] = true
			}
		}
		seen[text] = i + 1
	}
	for _, name := range EarlyModules {
		if seen[name]+seen[strings.ReplaceAll(name, "_", "-")] == 0 {
			t.Errorf("%s is not in %s", name, ModulesSpecName)
		}
	}
	for _, module := range firmwareOnly {
		if !needy[module] {
			t.Errorf("%s is on a disc without firmware, where it does nothing", module)
		}
	}
}

func FuzzCompileModulePattern(f *testing.F) {
	f.Add("drivers/net/**/x-*")
	f.Fuzz(func(t *testing.T, pattern string) { compileModulePattern(pattern) })
}
