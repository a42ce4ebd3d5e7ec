//go:build vm && full

package vm

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// stateFile is the state volume's file.
const stateFile = "zerodisc-state.img"

// withFATPartition is withLaterPartition with a file system in it, and where that begins and how long it is, in bytes.
func withFATPartition(t *testing.T, iso string) (stick string, start, length int64) {
	t.Helper()
	stick = withLaterPartition(t, iso)
	const later = "3"
	for line := range strings.Lines(tool(t, "sgdisk", "-i", later, stick)) {
		words := strings.Fields(line)
		if len(words) < 3 {
			continue
		}
		n, _ := strconv.ParseInt(words[2], 10, 64)
		switch words[0] + words[1] {
		case "Firstsector:":
			start = n * 512
		case "Lastsector:":
			length = (n+1)*512 - start
		}
	}
	if start == 0 || length < 160<<20 {
		t.Fatalf("a partition of %d bytes at %d", length, start)
	}
	tool(t, "mkfs.vfat", "-F", "32", "-s", "4", "-n", "ZERODISC-A",
		fmt.Sprintf("--offset=%d", start/512), stick, strconv.FormatInt(length>>10, 10))
	return stick, start, length
}

// copyPart copies a part of a file.
func copyPart(t *testing.T, from string, start, length int64) string {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	name := filepath.Join(t.TempDir(), "part.img")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, io.NewSectionReader(in, start, length)); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestStateFile keeps a guest in a file: at first on a stick that is plugged in and pulled, and then on the rest of the
// stick that the machine was booted from, which is not written to otherwise, and stays whole when the power fails.
func TestStateFile(t *testing.T) {
	t.Parallel()
	iso := remaster(t, "timeout = 1\n", keptGuest(t, "keep"))
	stick, start, length := withFATPartition(t, iso)
	exfat := emptyDisk(t, "exfat.img", 200)
	tool(t, "mkfs.exfat", "-L", "ZERODISC-B", exfat)
	after := filepath.Join(t.TempDir(), "after.img")
	machine := func(stick string) qemu.Machine {
		return qemu.Machine{ISO: stick, Medium: qemu.USB, MemoryMiB: 1536}
	}
	Story(t, machine(stick), func(m *VM) {
		m.Wait(`msg=ready guests=3`, bootLimit)
		m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
		// The command's progress and the line would be one.
		m.Wait(`msg="guest address" guest=keep`, addressLimit)
		m.Run("a stick with exFAT", func(m *VM) { m.checkStickWithFile(exfat) })
		partition := m.Wait(`msg="`+boot.MsgStorage+`" label=ZERODISC-A`, soon).Get("device")
		m.createStateFile(partition)
		m.writeInGuest("keep", "first")
		if said := m.Shell("guest disk save keep"); !strings.Contains(said, "saved guest keep") {
			m.Errorf("disk save: %s", said)
		}
		m.checkPowerOff(typePowerOff)
		copyTo(t, after, filepath.Join(m.Dir(), "disk.img"))
	})
	checkFileOnFAT(t, copyPart(t, after, start, length), "first")
	Story(t, machine(after), func(m *VM) {
		found := m.Wait(`msg=`+boot.MsgState+` mount=`+boot.StateMount, bootLimit)
		if found.Get("file") != stateFile {
			m.Errorf("%v", found)
		}
		m.Wait(`msg=ready guests=3`, bootLimit)
		m.Shell("xl destroy tty1; xl destroy tty2")
		m.Wait(`msg="guest address" guest=keep`, addressLimit)
		m.readInGuest("keep", "first")
		inRAM := m.Wait(`msg="`+boot.MsgMedium+`" state="in RAM"`, bootLimit)
		if why := inRAM.Get("err"); !strings.Contains(why, boot.StateMount) {
			m.Errorf("the state volume is on the stick, and the console says %q", why)
		}
		m.writeInGuest("keep", "second")
		m.Run("the power fails", func(m *VM) {
			checkFileOnFAT(m.t, copyPart(m.t, filepath.Join(m.Dir(), "disk.img"), start, length), "second")
		})
		m.checkPowerOff(typePowerOff)
		checkFileOnFAT(t, copyPart(t, filepath.Join(m.Dir(), "disk.img"), start, length), "second")
	})
}

// checkStickWithFile plugs a stick in, makes a state volume in a file on it, pulls it, and does both once more.
func (m *VM) checkStickWithFile(stick string) {
	now := m.FromNow()
	m.plugIn(stick, "exfat")
	device := now.Wait(`msg="`+boot.MsgStorage+`" label=ZERODISC-B`, soon).Get("device")
	m.createStateFile(device)
	m.Shell("echo kept > " + boot.StateMount + "/kept; sync")
	for again := range 2 {
		now = m.FromNow()
		m.pull("exfat")
		gone := now.Wait(`msg=`+boot.MsgState+` file=`+stateFile, soon)
		if gone.Get("err") != "it was taken away" {
			m.Errorf("%v", gone)
		}
		m.Until("nothing of it is left", soon, func() bool {
			return !strings.Contains(m.Shell("cat /proc/mounts; ls /dev/mapper"), "state")
		})
		m.do("blockdev-del", map[string]any{"node-name": "on-exfat"})
		if again > 0 {
			break
		}
		now = m.FromNow()
		m.plugIn(stick, "exfat")
		now.Wait(`msg=`+boot.MsgState+` mount=`+boot.StateMount, soon)
		if said := m.Shell("cat " + boot.StateMount + "/kept"); !strings.Contains(said, "kept") {
			m.Errorf("what was kept is %q", said)
		}
	}
}

// createStateFile makes a state volume in a file.
func (m *VM) createStateFile(device string) {
	said := m.Shell("zerodisc-state create -yes -size 96M " + device)
	if !strings.Contains(said, device+" "+stateFile+" is the state volume, at "+boot.StateMount) {
		m.Errorf("zerodisc-state create: %s", said)
	}
}

// checkFileOnFAT checks a FAT file system that has a state volume's file, and the volume, with a guest whose disks
// begin with a word. Where the power has failed its journal is replayed first, as the next boot would, and free space
// is counted.
func checkFileOnFAT(t *testing.T, fat, word string) {
	t.Helper()
	tool(t, "fsck.vfat", "-n", fat)
	inner := filepath.Join(t.TempDir(), "inner.img")
	tool(t, "mcopy", "-i", fat, "::"+stateFile, inner)
	tool(t, "sh", "-c", "e2fsck -fp "+inner+" || [ $? = 1 ]")
	checkVolume(t, inner, map[string]string{
		"/guests/keep/xvda.img": word + "-xvda", "/guests/keep/xvdb.img": word + "-xvdb",
	})
}

func copyTo(t *testing.T, to, from string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copyPart(t, from, 0, info.Size()), to); err != nil {
		t.Fatal(err)
	}
}
