package volumes

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/internal/md"
)

// What follows has mdadm and LVM make arrays and volumes, and assembles them with the kernel. It takes root, the
// modules dm-mod and md-mod with the levels of RAID, and a machine without udev, which would assemble them too: an
// initrd with this test, mdadm, lvm and its libraries in an emulator is one.
func needKernel(t *testing.T, tools ...string) {
	t.Helper()
	for _, name := range []string{"/dev/mapper/control", "/sys/module/md_mod/parameters/new_array"} {
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Skipf("needs root, dm-mod and md-mod: %v", err)
		}
		file.Close()
	}
	if _, err := os.Stat("/run/udev/control"); err == nil {
		t.Skip("udev runs here, and would assemble volumes itself")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

// disks are files that pretend to be disks.
type disks struct {
	t       *testing.T
	files   []string
	devices []string
	sums    [][32]byte
	writes  []string
}

func newDisks(t *testing.T, sizes ...int64) *disks {
	d := &disks{t: t}
	for i, size := range sizes {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("disk%d", i))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, size<<20); err != nil {
			t.Fatal(err)
		}
		device, err := loopdev.Attach(name, false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := loopdev.Detach(device); err != nil {
				t.Error(err)
			}
		})
		d.files, d.devices = append(d.files, name), append(d.devices, device)
	}
	return d
}

// seal notes what is on the disks and how often they were written to.
func (d *disks) seal() {
	d.t.Helper()
	unix.Sync()
	d.sums, d.writes = nil, nil
	for i := range d.files {
		d.sums, d.writes = append(d.sums, d.sum(i)), append(d.writes, d.written(i))
	}
}

func (d *disks) sum(i int) [32]byte {
	content, err := os.ReadFile(d.files[i])
	if err != nil {
		d.t.Fatal(err)
	}
	return sha256.Sum256(content)
}

// written has the counters of a disk's writes, in requests and sectors (Documentation/block/stat.rst).
func (d *disks) written(i int) string {
	text, err := os.ReadFile("/sys/block/" + filepath.Base(d.devices[i]) + "/stat")
	if err != nil {
		d.t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	return fields[4] + " " + fields[6]
}

// untouched compares the disks with what was sealed.
func (d *disks) untouched() {
	d.t.Helper()
	unix.Sync()
	for i := range d.files {
		if d.sum(i) != d.sums[i] {
			d.t.Errorf("disk %d has changed", i)
		}
		if now := d.written(i); now != d.writes[i] {
			d.t.Errorf("disk %d was written to: %s requests and sectors before, %s now", i, d.writes[i], now)
		}
	}
}

// pattern is n bytes that say where they are.
func pattern(seed, n int) []byte {
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = fmt.Appendf(b, "%03d%012d\n", seed, len(b))
	}
	return b[:n]
}

// fill writes a pattern over all of a device and returns it.
func fill(t *testing.T, device string, seed int) []byte {
	t.Helper()
	file, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	content := pattern(seed, int(size))
	_, err = file.WriteAt(content, 0)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}

// compare reads a device that must have the content, and must refuse to be written to.
func compare(t *testing.T, device string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(device)
	if err != nil || !bytes.Equal(got, content) {
		at := 0
		for at < min(len(got), len(content)) && got[at] == content[at] {
			at++
		}
		t.Errorf("%s: %d bytes, want %d; they differ from byte %d: %v", device, len(got), len(content), at, err)
	}
	if file, err := os.OpenFile(device, os.O_WRONLY, 0); err == nil {
		defer file.Close()
		if _, err := file.WriteAt(make([]byte, sector), 0); err == nil {
			t.Errorf("%s can be written to", device)
		}
	}
}

func tool(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// real is an assembler with the kernel, and a clock that can be put forward.
type real struct {
	*Assembler
	t        *testing.T
	forward  time.Duration
	problems []string
	lost     []string
}

func newReal(t *testing.T) *real {
	r := &real{t: t}
	r.Assembler = newAssembler(Config{
		Load:    func(string) error { return nil },
		Lost:    func(device string) { r.lost = append(r.lost, device) },
		Problem: func(sentence string) { r.problems = append(r.problems, sentence) },
	}, linux{})
	r.now = func() time.Time { return time.Now().Add(r.forward) }
	r.after = func(time.Duration, func()) {}
	return r
}

// wait lets time pass.
func (r *real) wait() {
	r.forward += time.Minute
	r.reconcile()
}

// pull takes devices out and makes sure that nothing is left of what was made of them.
func (r *real) pull(devices ...string) {
	r.t.Helper()
	for _, d := range devices {
		r.gone(d)
	}
	for _, v := range r.active {
		r.t.Errorf("%s is left over", v.name)
	}
	var left []string
	for range 100 { // the kernel takes arrays away after they were stopped
		if left, _ = filepath.Glob("/sys/block/[dm][md][-_]*"); len(left) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(left) > 0 {
		r.t.Errorf("left over: %v; %q", left, r.problems)
	}
	backed, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, name := range backed {
		if text, _ := os.ReadFile(name); strings.HasPrefix(string(text), "/dev/") {
			r.t.Errorf("%s is over %s", name, text)
		}
	}
}

func (r *real) device(title string) string {
	r.t.Helper()
	for _, v := range r.active {
		if v.title == title && !v.hidden {
			return v.device
		}
	}
	r.t.Errorf("%s is not there: %v, %q", title, r.volumes(), r.problems)
	return ""
}

func TestKernelArrays(t *testing.T) {
	needKernel(t, "mdadm")
	for i, test := range []struct {
		options string
		sizes   []int64
		without []int // disks that it can be read without
	}{
		{"--level=1 --metadata=1.2 --bitmap=internal", []int64{8, 8}, []int{0}},
		{"--level=1 --metadata=0.90", []int64{4, 4}, []int{1}},
		{"--level=0 --chunk=64", []int64{4, 4, 4}, nil},
		{"--level=0 --chunk=64", []int64{4, 7, 9}, nil},
		{"--level=0 --chunk=64 --layout=alternate", []int64{4, 7, 9}, nil},
		{"--level=4 --chunk=64", []int64{4, 4, 4}, []int{1}},
		{"--level=5 --chunk=64 --metadata=1.0", []int64{4, 4, 4}, []int{2}},
		{"--level=5 --chunk=4 --layout=ra --metadata=1.1 --bitmap=internal", []int64{9, 9, 9, 9}, []int{0}},
		{"--level=6 --chunk=64", []int64{4, 4, 4, 4, 4}, []int{1, 3}},
		{"--level=10 --layout=n2 --chunk=64", []int64{4, 4, 4}, []int{2}},
		{"--level=10 --layout=f2 --chunk=64", []int64{4, 4, 4, 4}, []int{1}},
		{"--level=10 --layout=o2 --chunk=64", []int64{4, 4, 4}, []int{0}},
	} {
		t.Run(test.options, func(t *testing.T) {
			d := newDisks(t, test.sizes...)
			args := append([]string{"mdadm", "--create", "/dev/md9", "--run", "--homehost=pc",
				fmt.Sprintf("--name=a%d", i), fmt.Sprintf("--raid-devices=%d", len(d.devices))},
				strings.Fields(test.options)...)
			tool(t, append(args, d.devices...)...)
			exec.Command("mdadm", "--wait", "/dev/md9").Run() // fails if there is nothing to wait for
			content := fill(t, "/dev/md9", i)
			tool(t, "mdadm", "--stop", "/dev/md9")
			d.seal()
			name := fmt.Sprintf("md_a%d", i)
			if strings.Contains(test.options, "0.90") {
				name = "md_9"
			}
			for _, without := range [][]int{nil, test.without} {
				r := newReal(t)
				for j, device := range d.devices {
					if !slices.Contains(without, j) {
						r.found(device, "linux_raid_member")
					}
				}
				r.wait()
				if device := r.device(name); device != "" {
					compare(t, device, content)
				}
				r.pull(d.devices...)
			}
			d.untouched()
		})
	}
}

// TestKernelLinearArray has a superblock of this test's: the kernel has no driver that mdadm could make one with.
func TestKernelLinearArray(t *testing.T) {
	needKernel(t)
	fixtures := fixtures(t)
	d := newDisks(t, 4, 7, 9)
	var content []byte
	for i, file := range d.files {
		block := fixtures[fmt.Sprintf("raid0_uneq.%d", i)].pieces[4096]
		copy(block[72:], "\xff\xff\xff\xff") // its level
		sum := linearSum(block)
		copy(block[216:], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		part := pattern(i, []int{6144, 12288, 16384}[i]*sector)
		_, err = f.WriteAt(block, 4096)
		_, err2 := f.WriteAt(part, 2048*sector)
		if err := errors.Join(err, err2, f.Close()); err != nil {
			t.Fatal(err)
		}
		content = append(content, part...)
	}
	d.seal()
	r := newReal(t)
	for _, device := range d.devices {
		r.found(device, "linux_raid_member")
	}
	compare(t, r.device("md_raid0_uneq"), content)
	r.pull(d.devices...)
	d.untouched()
}

// linearSum is the checksum of a superblock with 256 bytes and its roles.
func linearSum(b []byte) uint32 {
	var sum uint64
	count := int(b[220]) | int(b[221])<<8
	for i := 0; i < 256+2*count; i += 2 {
		if i/4*4 != 216 {
			sum += (uint64(b[i]) | uint64(b[i+1])<<8) << (i % 4 * 8)
		}
	}
	return uint32(sum) + uint32(sum>>32)
}

// TestKernelStaleMember has a member that missed writes, and the array written to while it stopped.
func TestKernelStaleMember(t *testing.T) {
	needKernel(t, "mdadm")
	d := newDisks(t, 4, 4)
	tool(t, "mdadm", "--create", "/dev/md9", "--run", "--homehost=pc", "--name=stale", "--level=1", "--raid-devices=2",
		"--bitmap=none", d.devices[0], d.devices[1])
	exec.Command("mdadm", "--wait", "/dev/md9").Run()
	old := fill(t, "/dev/md9", 1)
	tool(t, "mdadm", "/dev/md9", "--fail", d.devices[0])
	tool(t, "mdadm", "/dev/md9", "--remove", d.devices[0])
	fresh := fill(t, "/dev/md9", 2)
	tool(t, "mdadm", "--stop", "/dev/md9")
	d.seal()
	r := newReal(t)
	r.found(d.devices[0], "linux_raid_member")
	r.wait()
	compare(t, r.device("md_stale"), old)
	r.found(d.devices[1], "linux_raid_member")
	r.wait()
	compare(t, r.device("md_stale"), fresh)
	r.pull(d.devices...)
	d.untouched()
}

// lvmTool runs one of LVM's tools on the disks and nothing else.
func lvmTool(t *testing.T, d *disks) func(args ...string) {
	t.Helper()
	var filter []string
	for _, device := range d.devices {
		filter = append(filter, fmt.Sprintf("%q", "a|^"+device+"$|"))
	}
	config := fmt.Sprintf("devices { use_devicesfile=0 filter=[%s, \"r|.*|\"] obtain_device_list_from_udev=0 }\n"+
		"activation { udev_sync=0 udev_rules=0 monitoring=0 }\nglobal { thin_check_executable=\"\" use_lvmpolld=0 }\n",
		strings.Join(filter, ", "))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lvm.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LVM_SYSTEM_DIR", dir)
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	return func(args ...string) {
		t.Helper()
		tool(t, append([]string{"lvm"}, args...)...)
	}
}

func TestKernelVolumes(t *testing.T) {
	needKernel(t, "lvm")
	d := newDisks(t, 40, 40, 40, 40, 40)
	run := lvmTool(t, d)
	for _, device := range d.devices {
		run("pvcreate", "-y", device)
	}
	run(append([]string{"vgcreate", "-s", "256k", "vg-t"}, d.devices...)...)
	contents := map[string][]byte{}
	seed := 0
	for _, volume := range []struct{ name, options string }{
		{"linear", "-L 2M"},
		{"filler", "-L 1M"},
		{"striped-x", "-i 3 -I 16k -L 3M"},
		{"raid0", "--type raid0 -i 3 -I 64k -L 3M"},
		{"raid1", "--type raid1 -m 2 -L 2M"},
		{"raid4", "--type raid4 -i 2 -I 64k -L 3M"},
		{"raid5", "--type raid5 -i 3 -I 64k -L 3M"},
		{"raid5_ra", "--type raid5_ra -i 2 -I 64k -L 3M"},
		{"raid5_n", "--type raid5_n -i 2 -I 64k -L 3M"},
		{"raid6", "--type raid6 -i 3 -I 64k -L 3M"},
		{"raid6_nc", "--type raid6_nc -i 3 -I 64k -L 3M"},
		{"raid6_ls_6", "--type raid6_ls_6 -i 3 -I 64k -L 3M"},
		{"raid6_n_6", "--type raid6_n_6 -i 3 -I 64k -L 3M"},
		{"raid10", "--type raid10 -i 2 -m 1 -I 64k -L 3M"},
		{"mirror", "--type mirror -m 1 --mirrorlog core -L 2M"},
		{"origin", "-L 1M"},
	} {
		run(append([]string{"lvcreate", "-y", "-Wn", "-Zn", "-n", volume.name, "vg-t"},
			strings.Fields(volume.options)...)...)
		if volume.name == "filler" {
			run("lvextend", "-y", "-L", "+1M", "vg-t/linear")
		}
	}
	run("lvextend", "-y", "-L", "+1M", "vg-t/raid1")
	time.Sleep(3 * time.Second) // the driver notes the end of a resynchronisation with a delay
	devices, err := filepath.Glob("/sys/block/dm-*/dm/name")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range devices {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, public := strings.CutPrefix(strings.TrimSpace(string(text)), "vg--t-")
		if public && !strings.Contains(name, "image_") && !strings.Contains(name, "meta_") {
			seed++
			name = strings.ReplaceAll(name, "--", "-")
			contents[name] = fill(t, "/dev/"+filepath.Base(filepath.Dir(filepath.Dir(file))), seed)
		}
	}
	run("lvcreate", "-y", "-s", "-L", "1M", "-n", "snap", "vg-t/origin")
	run("lvcreate", "-y", "--type", "thin-pool", "-L", "2M", "-n", "pool", "vg-t")
	run("lvcreate", "-y", "-V", "10M", "--thinpool", "pool", "-n", "thin", "vg-t")
	run("vgchange", "-an", "vg-t")
	d.seal()
	if len(contents) != 16 {
		t.Fatalf("%d volumes", len(contents))
	}

	r := newReal(t)
	for _, device := range d.devices {
		r.found(device, "LVM2_member")
	}
	r.wait()
	t.Logf("problems: %q", r.problems)
	if len(r.problems) != 3 || len(r.volumes()) != len(contents) {
		t.Errorf("%d volumes, problems %q", len(r.volumes()), r.problems)
	}
	for name, content := range contents {
		compare(t, r.device("vg-t/"+name), content)
	}
	r.pull(d.devices...)
	d.untouched()

	for missing := range d.devices {
		r := newReal(t)
		for i, device := range d.devices {
			if i != missing {
				r.found(device, "LVM2_member")
			}
		}
		r.wait()
		for name, content := range contents {
			if slices.Contains(r.volumes(), "vg-t/"+name) {
				compare(t, r.device("vg-t/"+name), content)
			} else if strings.HasPrefix(name, "raid") && name != "raid0" {
				t.Errorf("without disk %d there is no %s: %q", missing, name, r.problems)
			}
		}
		t.Logf("without disk %d: %d volumes", missing, len(r.volumes()))
		r.pull(d.devices...)
	}
	d.untouched()
}

// TestKernelPulledDisk reads from a volume whose disk goes and comes back as another device.
func TestKernelPulledDisk(t *testing.T) {
	needKernel(t, "lvm")
	d := newDisks(t, 16, 16)
	run := lvmTool(t, d)
	for _, device := range d.devices {
		run("pvcreate", "-y", device)
	}
	run("vgcreate", "-s", "256k", "pulled", d.devices[0], d.devices[1])
	run("lvcreate", "-y", "-Wn", "-Zn", "-n", "guest", "-i", "2", "-I", "64k", "-L", "4M", "pulled")
	content := fill(t, "/dev/pulled/guest", 7)
	run("vgchange", "-an", "pulled")
	d.seal()
	r := newReal(t)
	for _, device := range d.devices {
		r.found(device, "LVM2_member")
	}
	device := r.device("pulled/guest")
	guest, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	r.gone(d.devices[1])
	if !slices.Equal(r.lost, []string{device}) {
		t.Errorf("lost %q, want %s; %q", r.lost, device, r.problems)
	}
	again, err := loopdev.Attach(d.files[1], true)
	if err != nil {
		t.Fatal(err)
	}
	defer loopdev.Detach(again)
	r.found(again, "LVM2_member")
	if r.device("pulled/guest") != device {
		t.Error("it is another device")
	}
	compare(t, device, content)
	guest.Close()
	r.pull(d.devices[0], again)
	d.untouched()
}

// TestKernelVolumesOnArray puts LVM on a RAID array, as installers do.
func TestKernelVolumesOnArray(t *testing.T) {
	needKernel(t, "lvm", "mdadm")
	d := newDisks(t, 16, 16)
	tool(t, "mdadm", "--create", "/dev/md9", "--run", "--homehost=pc", "--name=base", "--level=1", "--raid-devices=2",
		"--metadata=1.0", d.devices[0], d.devices[1])
	exec.Command("mdadm", "--wait", "/dev/md9").Run()
	run := lvmTool(t, &disks{devices: []string{"/dev/md9"}})
	run("pvcreate", "-y", "/dev/md9")
	run("vgcreate", "-s", "256k", "upper", "/dev/md9")
	run("lvcreate", "-y", "-Wn", "-Zn", "-n", "root", "-L", "4M", "upper")
	content := fill(t, "/dev/upper/root", 9)
	run("vgchange", "-an", "upper")
	tool(t, "mdadm", "--stop", "/dev/md9")
	d.seal()
	r := newReal(t)
	for _, device := range d.devices {
		r.found(device, "LVM2_member") // what is at their beginning
	}
	array := r.device("md_base")
	r.found(array, "LVM2_member")
	compare(t, r.device("upper/root"), content)
	r.gone(d.devices[0])
	compare(t, r.device("upper/root"), content)
	r.pull(d.devices[1])
	d.untouched()
}

// TestKernelPartitionedArray finds the partitions of an array.
func TestKernelPartitionedArray(t *testing.T) {
	needKernel(t, "mdadm")
	d := newDisks(t, 8, 8)
	tool(t, "mdadm", "--create", "/dev/md9", "--run", "--homehost=pc", "--name=7", "--level=1", "--raid-devices=2",
		d.devices[0], d.devices[1])
	exec.Command("mdadm", "--wait", "/dev/md9").Run()
	content := fill(t, "/dev/md9", 3)
	table := make([]byte, sector)
	copy(table[446:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0}) // 4096 sectors from 2048 on
	table[510], table[511] = 0x55, 0xaa
	file, err := os.OpenFile("/dev/md9", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(table, 0)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
	tool(t, "mdadm", "--stop", "/dev/md9")
	d.seal()
	r := newReal(t)
	for _, device := range d.devices {
		r.found(device, "linux_raid_member")
	}
	device := r.device("md_7")
	if file, err = os.Open(device); err != nil { // as whoever looks what it holds does
		t.Fatal(err)
	}
	file.Close()
	compare(t, device+"p1", content[1<<20:][:2<<20])
	r.pull(d.devices...)
	d.untouched()
}

// TestKernelRefusesArrays starts arrays that the driver does not take: nothing stays behind.
func TestKernelRefusesArrays(t *testing.T) {
	needKernel(t)
	d := newDisks(t, 1)
	three := md.Geometry{Level: md.RAID5, Chunk: 4096, Disks: 3}
	if _, err := md.Start("md_bad", three, []string{d.devices[0], "", ""}); err == nil {
		t.Error("an array with one of three members")
	}
	if _, err := md.Start("md_rw", md.Geometry{Level: md.RAID1, Disks: 1}, d.devices); err == nil {
		t.Error("an array that would be written to")
	}
	newReal(t).pull()
}
