package initramfs

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// intelUpdate makes an update of size bytes for the processor with the given signature. It says its size, unless
// that is the default.
func intelUpdate(signature uint32, size int) []byte {
	data := make([]byte, size)
	put := func(i int, value uint32) { binary.LittleEndian.PutUint32(data[4*i:], value) }
	put(0, 1)
	put(1, 7)
	put(2, 0x01022026)
	put(3, signature)
	put(5, 1)
	put(6, 1)
	if size != intelDefault {
		put(7, uint32(size-intelHeader))
		put(8, uint32(size))
	}
	for i := intelHeader; i < size; i++ {
		data[i] = byte(i * 7)
	}
	sum := uint32(0)
	for i := range size / 4 {
		sum += binary.LittleEndian.Uint32(data[4*i:])
	}
	put(4, -sum)
	return data
}

func amdFile(text string) string { return string(amdMagic) + text }

func TestSplitIntel(t *testing.T) {
	one, two := intelUpdate(0x906ea, 2048), intelUpdate(0x806f8, 4096)
	both := slices.Concat(one, two)
	list, err := splitIntel(both)
	if err != nil || len(list) != 2 || !bytes.Equal(list[0], one) || !bytes.Equal(list[1], two) {
		t.Errorf("%d updates: %v", len(list), err)
	}
	changed := func(word int, value uint32) []byte {
		data := slices.Clone(both)
		binary.LittleEndian.PutUint32(data[len(one)+4*word:], value)
		return data
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "it is empty"},
		"cut":           {both[:len(both)-1024], "update at byte 2048: it has 4096 bytes, and 3072 are left"},
		"cut header":    {both[:len(one)+40], "update at byte 2048: 40 bytes are left"},
		"text":          {[]byte(strings.Repeat("text", 600)), "header version 1954047348"},
		"loader":        {changed(5, 2), "loader revision 2"},
		"damaged":       {changed(100, 0), "checksum is wrong"},
		"huge":          {changed(8, 0xfffffc00), "it has 4294966272 bytes"},
		"small":         {changed(8, 48), "it has 48 bytes"},
		"odd":           {changed(8, 2050), "it has 2050 bytes"},
		"default, cut":  {changed(7, 0)[:len(one)+1024], "it has 2048 bytes, and 1024 are left"},
		"garbage after": {append(slices.Clone(both), 1), "update at byte 6144: 1 bytes are left"},
	} {
		if _, err := splitIntel(test.data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want mention of %q", name, err, test.want)
		}
	}
}

func FuzzSplitIntel(f *testing.F) {
	f.Add(intelUpdate(0x906ea, 2048))
	f.Add(slices.Concat(intelUpdate(0x906ea, 1024), intelUpdate(0x806f8, 3072)))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := splitIntel(data)
		if err == nil && !bytes.Equal(slices.Concat(list...), data) {
			t.Error("the updates are not the file")
		}
	})
}

// microcodeTree has microcode of both makers. Two of Intel's files share an update.
func microcodeTree(t *testing.T) fakeFiles {
	one, two, three := intelUpdate(0x906ea, 2048), intelUpdate(0x806f8, 4096), intelUpdate(0xb0671, 1024)
	return newFakeFiles(t, map[string]string{
		"/usr/lib/firmware/amd-ucode/microcode_amd.bin":          amdFile("old"),
		"/usr/lib/firmware/amd-ucode/microcode_amd_fam17h.bin":   amdFile("Zen"),
		"/usr/lib/firmware/intel-ucode/06-8f-04":                 string(slices.Concat(one, two)),
		"/usr/lib/firmware/intel-ucode/06-8f-05":                 string(slices.Concat(two, three)),
		"/usr/lib/firmware/intel-ucode/06-9e-09.initramfs":       string(one),
		"/usr/lib/firmware/amd/amd_sev_fam17h_model3xh.sbin":     "no microcode",
		"/usr/lib/firmware/intel/sof/intel-ucode-of-a-sound.bin": "no microcode",
	})
}

func TestMicrocode(t *testing.T) {
	files, packages, err := microcode(microcodeTree(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(files["AuthenticAMD.bin"]), amdFile("old")+amdFile("Zen"); got != want || len(files) != 2 {
		t.Errorf("AMD's is %q, want %q", got, want)
	}
	want := slices.Concat(intelUpdate(0x906ea, 2048), intelUpdate(0x806f8, 4096), intelUpdate(0xb0671, 1024))
	if got := files["GenuineIntel.bin"]; !bytes.Equal(got, want) {
		t.Errorf("Intel's has %d bytes, want each of the three updates once, %d", len(got), len(want))
	}
	if len(packages) != 2 {
		t.Errorf("packages are %v", packages)
	}
}

func TestMicrocodeRefuses(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"/usr/lib/firmware/amd-ucode/microcode_amd.bin": {"text", "microcode_amd.bin: this is no microcode of AMD's"},
		"/usr/lib/firmware/intel-ucode/06-8f-04":        {"text", "06-8f-04: update at byte 0: 4 bytes"},
	} {
		tree := microcodeTree(t)
		if err := os.WriteFile(tree[name].Host, []byte(test.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := microcode(tree); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want mention of %q", name, err, test.want)
		}
	}
	_, _, err := microcode(fakeFiles{})
	if err == nil || !strings.Contains(err.Error(), "no package has /usr/lib/firmware/amd-ucode/microcode_amd*.bin") {
		t.Errorf("no microcode: %v", err)
	}
}

// hostTool returns the path of a program that is an independent judge. The test is skipped where it is missing.
func hostTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: its judgement is missing", name)
	}
	return path
}

// microcodeInitrd writes an initrd with microcode at its start.
func microcodeInitrd(t *testing.T) (name string) {
	t.Helper()
	dir := t.TempDir()
	first, last := filepath.Join(dir, "microcode.cpio"), filepath.Join(dir, "base")
	files, _, err := microcode(microcodeTree(t))
	if err != nil {
		t.Fatal(err)
	}
	var early bytes.Buffer
	if err := microcodeArchive(files).Write(&early); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{first: early.Bytes(), last: []byte("base")} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dom0, shared := NewArchive(), NewArchive()
	dom0.Text("/dom0", "dom0", 0o644)
	forgetMicrocode(dom0)
	shared.Text("/userland", "userland", 0o644)
	name = filepath.Join(dir, "initrd.img")
	offset, err := writeInitrd(name, first, dom0, shared, last)
	if err != nil || offset%alignment != 0 {
		t.Fatalf("the guests' initrd begins at %d: %v", offset, err)
	}
	return name
}

// TestMicrocodeInInitrd wants Intel's microcode at a multiple of 16 bytes, and both files emptied behind it.
func TestMicrocodeInInitrd(t *testing.T) {
	data, err := os.ReadFile(microcodeInitrd(t))
	if err != nil {
		t.Fatal(err)
	}
	update := intelUpdate(0x906ea, 2048)
	if at := bytes.Index(data, update); at%16 != 0 || at < 0 {
		t.Errorf("Intel's microcode begins at byte %d", at)
	}
	trailer := []byte("TRAILER!!!")
	second := bytes.Index(data, trailer) + len(trailer)
	second += bytes.Index(data[second:], []byte("070701"))
	if second%4 != 0 {
		t.Errorf("the archive behind it begins at byte %d", second)
	}
	want := []string{
		"dom0=dom0", "kernel=", "kernel/x86=", "kernel/x86/microcode=",
		"kernel/x86/microcode/AuthenticAMD.bin=", "kernel/x86/microcode/GenuineIntel.bin=",
	}
	if got := listCpio(t, data[second:]); !slices.Equal(got, want) {
		t.Errorf("the archive behind it has %q, want %q", got, want)
	}
}

// TestMicrocodeByCpio has cpio unpack what Xen looks for.
func TestMicrocodeByCpio(t *testing.T) {
	initrd, err := os.Open(microcodeInitrd(t))
	if err != nil {
		t.Fatal(err)
	}
	defer initrd.Close()
	cmd := exec.Command(hostTool(t, "cpio"), "--quiet", "-id")
	cmd.Dir, cmd.Stdin = t.TempDir(), initrd
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files, _, err := microcode(microcodeTree(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(cmd.Dir, microcodeDir, name)); !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
}

// TestMicrocodeByIucodeTool has Intel's tool look for microcode in the initrd.
func TestMicrocodeByIucodeTool(t *testing.T) {
	out, err := exec.Command(hostTool(t, "iucode_tool"), "-tr", "-L", microcodeInitrd(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got []string
	for _, match := range regexp.MustCompile(`sig (0x\w+).* size (\d+)`).FindAllStringSubmatch(string(out), -1) {
		got = append(got, match[1]+" "+match[2])
	}
	if want := []string{"0x000906ea 2048", "0x000806f8 4096", "0x000b0671 1024"}; !slices.Equal(got, want) {
		t.Errorf("it finds %q, want %q:\n%s", got, want, out)
	}
}
