//go:build vm && full

package vm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/loopdev"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
	"github.com/zerodisc/zerodisc/test/vm/writelog"
)

// Figures of TestPowerCuts.
const (
	cuts         = 50 // moments at which the power is cut
	bootedCuts   = 2  // of which the machine is booted
	records      = 40 // that dom0 writes, and the guest
	recordsLimit = 10 * time.Minute
)

// cutConfig is a guest on the state volume.
const cutConfig = `kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 96
vif = [ '' ]
disk = [ 'disk.img,raw,xvda,rw' ]
`

// acknowledged is a record that somebody was told is kept.
type acknowledged struct {
	name string // "dom0-7"
	end  int64  // of the log when the console had said so
}

// TestPowerCuts has dom0 and a guest write numbered records to the state volume, and save guests there, while QEMU logs
// every write. From the log it makes the disk as a power cut at random moments would have left it: the file system is
// whole once its journal was replayed, every record that was acknowledged by then is there, and a saved guest is there
// as a whole or not at all.
func TestPowerCuts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("file systems are mounted on this machine: it takes root")
	}
	disk, before := cutDisk(t)
	log := filepath.Join(t.TempDir(), "writes.log")
	write(t, log, "")
	var told []acknowledged
	Story(t, qemu.Machine{Disks: []qemu.Disk{{File: disk, WriteLog: log}}}, func(m *VM) {
		m.Wait(`msg=ready guests=3`, bootLimit)
		m.Shell("xl destroy tty2") // it would only take the emulator's time
		m.Wait(`msg="guest address" guest=keep`, addressLimit)
		told = append(told, m.record(log, "dom0", dom0Record)...)
		m.Shell("guest disk save tty1")
		m.Enter("xl console keep")
		m.Enter("")
		told = append(told, m.record(log, "keep", guestRecord)...)
		m.leaveConsole()
		m.Shell("guest disk save -replace tty1")
	}) // and QEMU is killed
	file, entries, err := writelog.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	t.Logf("%d requests, %d records", len(entries), len(told))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for n := range cuts {
		at := 1 + chance.IntN(len(entries))
		image := filepath.Join(t.TempDir(), "cut.img")
		cut(t, image, before, func(f *os.File) error { return writelog.Cut(f, file, entries, at, chance) })
		if n < bootedCuts {
			bootCut(t, image)
		}
		checkCut(t, image, at, promised(told, entries[at-1].End))
		if t.Failed() {
			return
		}
		os.Remove(image)
	}
}

// cutDisk makes a state volume with a guest, and returns it and what it holds.
func cutDisk(t *testing.T) (name string, content []byte) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "guests"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := guestDir(t, filepath.Join(root, "guests"), "keep")
	write(t, filepath.Join(dir, "keep.cfg"), cutConfig)
	write(t, filepath.Join(dir, "disk.img"), "")
	if err := os.Truncate(filepath.Join(dir, "disk.img"), 8<<20); err != nil {
		t.Fatal(err)
	}
	name = emptyDisk(t, "state.img", 128)
	tool(t, "mke2fs", "-q", "-t", "ext4", "-O", "64bit,metadata_csum", "-L", boot.StateLabel, "-d", root, name)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, content
}

// How dom0 and the guest write a record, by its number. On a disk without a file system, sync alone asks for no flush.
const (
	dom0Record  = "echo record-%[1]d >> " + boot.StateMount + "/records; sync; echo told-dom0-%[1]d"
	guestRecord = "echo record-%[1]d | dd of=/dev/xvda bs=512 seek=%[1]d; sync -data /dev/xvda; echo told-keep-%[1]d"
)

// record has records written, and notes how long the log is when each was acknowledged.
func (m *VM) record(log, who, command string) (told []acknowledged) {
	m.t.Helper()
	now := m.FromNow()
	for n := range records {
		name := fmt.Sprintf("%s-%d", who, n)
		m.Enter(fmt.Sprintf(command, n))
		now.WaitText("^told-"+name, recordsLimit)
		info, err := os.Stat(log)
		if err != nil {
			m.Fatalf("%v", err)
		}
		told = append(told, acknowledged{name, info.Size()})
	}
	return told
}

// promised are the records that were acknowledged before a place in the log.
func promised(told []acknowledged, end int64) (names []string) {
	for _, a := range told {
		if a.end <= end {
			names = append(names, a.name)
		}
	}
	return names
}

// cut makes the image of a disk whose power was cut.
func cut(t *testing.T, name string, before []byte, apply func(*os.File) error) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(before)
	if err := errors.Join(err, apply(f), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// checkCut mounts a disk, which replays its journal, and checks what is on it.
func checkCut(t *testing.T, image string, at int, promised []string) {
	t.Helper()
	dir := t.TempDir()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	loop, err := loopdev.Open(f, false)
	if err != nil {
		t.Skip(err)
	}
	err = unix.Mount(loop.Name(), dir, "ext4", 0, "errors=remount-ro")
	loop.Close()
	if err != nil {
		t.Errorf("cut %d: mount: %v", at, err)
		return
	}
	there := readRecords(dir)
	for _, name := range promised {
		if !there.has(name) {
			t.Errorf("cut %d: record %s was acknowledged and is lost", at, name)
		}
	}
	checkSaved(t, dir, at)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("e2fsck", "-fn", image).CombinedOutput(); err != nil {
		t.Errorf("cut %d: e2fsck: %v\n%s", at, err, out)
	}
}

// written is what dom0 and the guest have written: lines of a file, and sectors of a disk.
type written struct {
	lines []string
	disk  []byte
}

// readRecords reads both. What is not there has no records.
func readRecords(dir string) written {
	text, _ := os.ReadFile(filepath.Join(dir, "records"))
	disk, _ := os.ReadFile(filepath.Join(dir, "guests/keep/disk.img"))
	return written{strings.Split(string(text), "\n"), disk}
}

// has says whether a record is there.
func (w written) has(name string) bool {
	who, number, _ := strings.Cut(name, "-")
	record := "record-" + number
	if who == "dom0" {
		return slices.Contains(w.lines, record)
	}
	n, err := strconv.Atoi(number)
	return err == nil && len(w.disk) > n*512 && bytes.HasPrefix(w.disk[n*512:], []byte(record+"\n"))
}

// checkSaved has a guest that was saved there as a whole or not at all.
func checkSaved(t *testing.T, dir string, at int) {
	t.Helper()
	saved := filepath.Join(dir, "guests/tty1")
	if _, err := os.Stat(saved); err != nil {
		return
	}
	config, err := os.ReadFile(filepath.Join(saved, "tty1.cfg"))
	if err != nil || !bytes.Contains(config, []byte(`name = "tty1"`)) {
		t.Errorf("cut %d: %v, %q", at, err, config)
	}
	same, other := filepath.Join(saved, "initrd.img"), filepath.Join(dir, "guests/keep/initrd.img")
	if checksum(t, same) != checksum(t, other) {
		t.Errorf("cut %d: the initrd of the guest that was saved is not whole", at)
	}
}

// bootCut boots a machine after its power was cut. What it writes then is not looked at.
func bootCut(t *testing.T, image string) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "booted.img")
	tool(t, "cp", image, copied)
	Story(t, qemu.Machine{Disks: []qemu.Disk{{File: copied}}}, func(m *VM) {
		line := m.Wait(`msg=`+boot.MsgState+` device=/dev/vda`, bootLimit)
		if line.Get("mount") != boot.StateMount || line.Get("err") != "" {
			m.Errorf("%v", line)
		}
		m.Wait(`msg="guest running" guest=keep`, bootLimit)
	})
}
