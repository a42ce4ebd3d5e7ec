//go:build vm && full

package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/printable"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// badConfig is a guest's configuration with a disk.
func badConfig(disk string) string {
	return `kernel = "dom0"
ramdisk = "/media/boot/guests/tty1/initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 96
vif = [ '' ]
disk = [ '` + disk + `' ]
`
}

// What the lines say of several of them.
const (
	unprintable = "its name has a character that cannot be printed"
	leadsOut    = "it is a symbolic link that leads out of the volume, to /etc"
)

// badGuests are guests that cannot run: their directories, their disks, the commands that make those, beside an image
// disk.img, and what the line says that refuses them.
var badGuests = []struct{ dir, disk, command, says string }{
	{"cut-qcow2", "d.qcow2,qcow2,xvda,r", "qemu-img convert -O qcow2 disk.img d && head -c 90 d > d.qcow2",
		"not all of it was copied"},
	{"far-qcow2", "d.qcow2,qcow2,xvda,r", "qemu-img convert -O qcow2 disk.img d.qcow2 && " +
		`printf '\377\377\377' | dd of=d.qcow2 bs=1 seek=41 conv=notrunc status=none`, "the L1 table ends beyond"},
	{"up", "d.qcow2,qcow2,xvda,r", "qemu-img create -q -u -f qcow2 -F raw -b ../../../../etc/passwd d.qcow2 1M",
		"etc/passwd: path escapes"},
	{"absolute", "d.qcow2,qcow2,xvda,r", "qemu-img create -q -u -f qcow2 -F raw -b /etc/passwd d.qcow2 1M",
		"has an absolute path, /etc/passwd"},
	{"circle", "a.qcow2,qcow2,xvda,r", "qemu-img create -q -u -f qcow2 -F qcow2 -b b.qcow2 a.qcow2 1M && " +
		"qemu-img create -q -u -f qcow2 -F qcow2 -b a.qcow2 b.qcow2 1M", "based on itself"},
	{"cut-vhd", "d.vhd,vhd,xvda,r", "qemu-img convert -O vpc disk.img d && head -c 700 d > d.vhd", "not all of it was"},
	{"hit-vhd", "d.vhd,vhd,xvda,r", "qemu-img convert -O vpc disk.img d.vhd && " +
		"for at in 0 $(($(stat -c %s d.vhd) - 512)); do printf BAD | " +
		"dd of=d.vhd bs=1 seek=$at conv=notrunc status=none; done", "not end with the footer of a VHD"},
	{"cut-vmdk", "d.vmdk,vmdk,xvda,r", "qemu-img convert -O vmdk disk.img d && head -c 400 d > d.vmdk", "not a VMDK"},
	{"far-vmdk", "d.vmdk,vmdk,xvda,r", `printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n` +
		`createType="monolithicFlat"\nRW 2048 FLAT "../../../../etc/passwd" 0\n' > d.vmdk`, "has a directory in its"},
	{"link-up", "d.img,raw,xvda,r", "ln -s ../../../../etc/passwd d.img", leadsOut},
	{"link-out", "d.img,raw,xvda,rw", "ln -s /etc/passwd d.img", leadsOut},
	{"link-self", "d.img,raw,xvda,r", "ln -s d.img d.img", "too many links"},
	{"pipe", "d.img,raw,xvda,r", "mkfifo d.img", "names neither a file nor a disk"},
	{"outside", "", "rm -r ../outside && ln -s /etc ../outside", leadsOut},
	{"config", "", "rm *.cfg && ln -s /etc/passwd config.cfg", leadsOut},
	{"rubbish", "", "head -c 3000 disk.img > guest.cfg", "guest.cfg:1:"},
	{"said", "", `printf 'name = "\033]0;INJ\007"\n' > guest.cfg`, "cannot be a guest's name"},
	{"ruined", "", "rm *.cfg && touch only-here.cfg", "no *.cfg in this guest directory"}, // it cannot be read
	{"\x1b]0;INJ\a", "disk.img,raw,xvda,r", ":", unprintable},
	{"\x1b[31mINJ", "disk.img,raw,xvda,r", ":", unprintable},
	{"new\nINJ", "disk.img,raw,xvda,r", ":", unprintable},
	{"\u009b31mINJ", "disk.img,raw,xvda,r", ":", unprintable},
	{"\u202eINJ", "disk.img,raw,xvda,r", ":", unprintable},
	{"\xff\xfeINJ", "disk.img,raw,xvda,r", ":", unprintable},
	{"-rf", "disk.img,raw,xvda,r", ":", "it starts with -"},
}

// injected are texts that no terminal may get to see as they are.
var injected = []string{
	"\x1b]0;INJ", "\x1b[31mINJ", "new\nINJ", "new\r\nINJ", "\u009b31mINJ", "\u202eINJ", "\xff\xfeINJ",
	"ZERODISC-\x1b", "GPT-\x1b",
}

// shellName is a guest's name that would end the machine if a shell got to see it.
const shellName = "$(reboot) ;reboot `reboot`"

// makeBadStore makes a labelled volume full of bad guests, and two that run: shellName, and "hurt", of whose disk a
// part cannot be found.
func makeBadStore(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	make := func(name, disk, command string) {
		dir := filepath.Join(root, "guests", name)
		mustMkdir(t, dir)
		write(t, filepath.Join(dir, "guest.cfg"), badConfig(disk))
		write(t, filepath.Join(dir, "disk.img"), string(noise(int64(len(name)), 1<<20)))
		tool(t, "sh", "-c", `cd -- "$0" && `+command, dir)
	}
	for _, g := range badGuests {
		make(g.dir, g.disk, g.command)
	}
	make(shellName, "format=raw,vdev=xvda,access=rw,target=$(reboot) d.img", "mv disk.img '$(reboot) d.img'")
	make("hurt", "d.qcow2,qcow2,xvda,r", "qemu-img convert -O qcow2 disk.img d.qcow2")
	edit(t, filepath.Join(root, "guests/hurt/d.qcow2"), func(data []byte) {
		l1 := binary.BigEndian.Uint64(data[40:])
		binary.BigEndian.PutUint64(data[l1:], 1<<63|1<<40) // its first table is past the end of the image
	})
	file := fileSystem(t, 128, "ZERODISC-BAD", root)
	edit(t, file, func(data []byte) {
		copy(data[bytes.Index(data, []byte("only-here.cfg"))&^1023:], noise(4, 12)) // the block of the directory
	})
	return file
}

func edit(t *testing.T, name string, change func(data []byte)) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	change(data)
	write(t, name, string(data))
}

// badDisk is a disk of TestBadStorage, with what lines say of it: part of a query, in which DEV is the disk, and
// what "err" says; "" for a line without.
type badDisk struct {
	file string
	says [][2]string
}

// makeBadDisks makes all disks.
func makeBadDisks(t *testing.T) []badDisk {
	t.Helper()
	cut, hit := makeBadKinds(t)
	disks := []badDisk{{file: cut}, {file: hit}}
	for i, k := range badKinds {
		query := fmt.Sprintf("msg=storage device=DEV%d type=%s", i+1, k.kind)
		disks[0].says = append(disks[0].says, [2]string{query, "it is cut short"})
		says := "damaged"
		if k.kind == "erofs" || k.kind == "iso9660" { // their directories are at their beginning
			says = ""
		}
		disks[1].says = append(disks[1].says, [2]string{query, says})
	}
	data, err := os.ReadFile(store(t, 1, "small", "small", "kernel = \"dom0\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	table := func(file, fault string) {
		disks = append(disks, badDisk{file, [][2]string{{"msg=storage device=DEV", fault}}})
	}
	table(writeGPT(t, []partition{
		{name: "GPT-\x1b[31m", data: data}, {name: "overlaps", first: 100, last: 900},
		{name: "beyond", first: 4096, last: 1 << 40}, {name: "absurd", first: 1 << 62, last: 1<<63 + 1},
		{name: "backwards", first: 900, last: 100},
	}), "partition 3 is not within the disk, partition 4 is not within the disk, partition 5 ends before it begins, "+
		"partitions 1 and 2 overlap")
	table(makeLoopingMBR(t, data), "leads back to where it was")
	for range 4 {
		table(writeGPT(t, make([]partition, 1000)), "Linux takes the first 255 partitions")
	}
	disks = append(disks, badDisk{store(t, 8, "ZERODISC-\x1b[31m", "red", "kernel = \"none\"\n"), [][2]string{
		{`msg="guest refused" guest=red`, "kernel is missing"},
	}})
	twin := badConfig("guest.cfg,raw,xvda,rw")
	disks = append(disks, badDisk{store(t, 8, "ZERODISC-TWIN", "twin", twin), [][2]string{
		{`msg="guest running" guest=twin`, ""}, {`msg="guest refused" guest=twin`, `a guest with the name "twin" `},
	}}, badDisk{file: store(t, 8, "ZERODISC-TWIN", "twin", twin)})
	group, array := makeSelfContained(t)
	return append(disks, badDisk{file: group}, badDisk{file: array}, badDisk{file: makeBadStore(t)},
		badDisk{file: store(t, 8, "ZERODISC-GOOD", "good", twin)})
}

// TestBadStorage boots with disks that are damaged, or made to harm, each in a way of its own, and once without.
func TestBadStorage(t *testing.T) {
	t.Parallel()
	disks := makeBadDisks(t)
	machine := qemu.Machine{ISO: remaster(t, "timeout = 1\n"), MemoryMiB: 2560}
	var usual time.Duration
	Story(t, machine, func(m *VM) { usual = m.awaitReady() })
	for _, d := range disks {
		machine.Disks = append(machine.Disks, qemu.Disk{File: d.file})
	}
	Story(t, machine, func(m *VM) {
		took := m.awaitReady()
		t.Logf("ready after %v, and after %v without the disks", took, usual)
		if took > usual+5*time.Second+usual/4 { // a quarter of it is the noise of emulation
			m.Errorf("the boot was delayed by %v", took-usual)
		}
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		m.Run("lines", func(m *VM) { m.checkBadLines(disks) })
		m.Run("guests", (*VM).checkBadGuests)
		m.Run("terminals", (*VM).checkTerminals)
		m.checkNoWrites()
		m.checkPowerOff(typePowerOff)
	})
}

// awaitReady returns how long init took, without the time in which the machine had no processor to run on.
func (m *VM) awaitReady() time.Duration {
	waited := m.Waited()
	took, err := m.Wait(`msg=ready guests=2`, bootLimit).Milliseconds()
	if err != nil {
		m.Fatalf("%v", err)
	}
	waited = m.Waited() - waited
	for _, e := range m.Console.Events(0, m.parse("msg="+boot.MsgStage)) {
		m.t.Logf("stage %s: %s ms", e.Get("name"), e.Get("ms"))
	}
	m.t.Logf("ready after %v, of which the machine had no processor for %v", took, waited)
	return max(0, took-waited)
}

// checkBadLines waits for what is said of each disk.
func (m *VM) checkBadLines(disks []badDisk) {
	for i, d := range disks {
		for _, says := range d.says {
			query := strings.ReplaceAll(says[0], "DEV", "/dev/vd"+string(rune('a'+i)))
			line := m.Wait(query, addressLimit)
			if got := line.Get("err"); !strings.Contains(got, says[1]) || (got == "") != (says[1] == "") {
				m.Errorf("%s: %v, want err=%q", query, line, says[1])
			}
		}
	}
	for _, says := range []string{
		`msg=volumes err=".*in the logical volume usb/plugged`, `msg=volumes err="RAID array pc:mirror .*missing`,
		`msg=volumes err="/dev/md_mirror is left alone`,
	} {
		m.WaitText(says, addressLimit)
	}
}

// checkBadGuests waits for the guests of the bad store.
func (m *VM) checkBadGuests() {
	for _, g := range badGuests {
		name := regexp.QuoteMeta(printable.Line(g.dir))
		m.WaitText(`^level=ERROR msg="guest refused" guest=`+name+` .*`+regexp.QuoteMeta(g.says), addressLimit)
	}
	hurt := m.Wait(`msg="`+boot.MsgGuestDisk+`" guest=hurt`, soon)
	if !strings.Contains(hurt.Get("err"), "beyond the end of the file") {
		m.Errorf("%v", hurt)
	}
	for _, name := range []string{shellName, "twin", "hurt"} {
		running := m.Wait(fmt.Sprintf("msg=%q guest=%q", boot.MsgGuestRunning, name), bootLimit)
		m.Shell("xl destroy " + running.Get("domid")) // the emulator takes minutes for all of them
	}
	m.Wait(`msg="guest address" guest=good`, addressLimit)
}

// checkTerminals has programs show what disks are called, and what is on them, and looks at all that the serial console
// was sent.
func (m *VM) checkTerminals() {
	for _, command := range []string{
		"status", "xl list", "ls -l /media /media/*/guests /dev/disk/by-*label", "find /media/ZERODISC-BAD",
		"du /media/ZERODISC-BAD", "udevadm info -n /dev/vdc1", "udevadm info -n /dev/vdi",
		"blkid", "mount", "df", "dmesg",
	} {
		m.Shell(command)
	}
	log, err := os.ReadFile(filepath.Join(m.Dir(), "serial.log"))
	if err != nil {
		m.Fatalf("%v", err)
	}
	for _, text := range injected {
		if at := bytes.Index(log, []byte(text)); at >= 0 {
			m.Errorf("the console was sent %q", log[max(0, at-100):at+len(text)])
		}
	}
	m.Once("msg=" + boot.MsgInit)
}
