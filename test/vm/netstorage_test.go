//go:build vm && full

package vm

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// netDiskConfig is a guest with a disk that it may write to and that may not change.
const netDiskConfig = `kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 96
vif = [ '' ]
disk = [ 'disk.img,raw,xvda,rw' ]
`

// What the servers are called on QEMU's user network, and what they want.
const (
	exportURL  = "nfs://10.0.2.2/export"
	olderURL   = "nfs://10.0.2.2/older"
	targetName = "iqn.2026-01.org.example:net"
	targetURL  = "iscsi://10.0.2.2:3260/" + targetName + "/1"
)

// TestNetworkStores takes guests from an NFS server, by both generations of the protocol, and from an iSCSI target
// that wants passwords and shows one. The target goes away and comes back, and its guest's reads go on; the NFS server
// hangs, and the host lives. The servers have a network of their own with this test, and their usual ports.
func TestNetworkStores(t *testing.T) {
	testns.RunAsRoot(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS, bootNetworkStores)
}

func bootNetworkStores(t *testing.T) {
	prepareServers(t)
	dir := t.TempDir()
	nfs := startNFS(t, dir)
	file := makeNetDisk(t)
	sum := checksum(t, file)
	target := startTarget(t, file)
	iso := remaster(t, fmt.Sprintf("cmdline = zerodisc.guests=%s,%s!vers=3 zerodisc.iscsi=%s\ntimeout = 1\n",
		exportURL, olderURL, "me:verysecretword:it:othersecretword@10.0.2.2:::1:"+targetName))
	Story(t, qemu.Machine{ISO: iso, MemoryMiB: 2048}, func(m *VM) {
		m.Wait(`msg=ready guests=2`, bootLimit)
		m.Run("connected", (*VM).checkConnected)
		m.Run("a guest writes to its disk on iSCSI", (*VM).checkNetWriter)
		m.Run("the target goes away", func(m *VM) {
			m.checkTargetAway(target, func() { target = startTarget(t, file) })
		})
		m.Run("the NFS server hangs", func(m *VM) { m.checkHungNFS(nfs) })
		if m.Said(`^level=.*secretword`) {
			m.Errorf("a line has a password")
		}
		m.Run("power off", func(m *VM) {
			began := time.Now()
			typePowerOff(m)
			m.WaitOff(stopLimit)
			t.Logf("power off took %v", time.Since(began))
		})
		if checksum(t, file) != sum {
			m.Errorf("the disk of the iSCSI target has changed")
		}
	})
}

// TestISCSIAfterCrash kills stage2, and then the target while a guest reads: somebody else logs in again. A guest that
// a web server withheld at first is fetched, too.
func TestISCSIAfterCrash(t *testing.T) {
	testns.RunAsRoot(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS, func(t *testing.T) {
		prepareServers(t)
		file := makeNetDisk(t)
		target := startTarget(t, file)
		web := t.TempDir()
		guestDir(t, web, "webguest")
		listGuests(t, web)
		var ready atomic.Bool
		files := http.FileServer(http.Dir(web))
		port := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if path.Ext(r.URL.Path) == ".img" && !ready.Load() {
				http.Error(w, "not yet", http.StatusServiceUnavailable)
				return
			}
			files.ServeHTTP(w, r)
		}))
		iso := remaster(t, fmt.Sprintf("cmdline = zerodisc.guests=http://10.0.2.2:%d/ "+
			"zerodisc.iscsi=me:verysecretword:it:othersecretword@10.0.2.2:::1:%s\ntimeout = 1\n", port, targetName))
		Story(t, qemu.Machine{ISO: iso, MemoryMiB: 2048}, func(m *VM) {
			m.Wait(`msg=ready guests=2`, bootLimit)
			m.Shell("xl destroy tty1; xl destroy tty2") // they would only take the emulator's time
			m.Wait(`msg="guest address" guest=blockguest`, addressLimit)
			now := m.FromNow()
			m.Enter("kill -9 " + m.Stage2())
			now.Wait(`msg="init crashed"`, soon)
			now.Wait(`msg="`+boot.MsgResumed+`"`, bootLimit)
			m.ForgetShell()
			now.Wait(`msg="`+boot.MsgNetStorage+`" state=connected url=`+targetURL, soon)
			ready.Store(true)
			now.Wait(`msg="guest address" guest=webguest`, bootLimit)
			m.checkTargetAway(target, func() { target = startTarget(t, file) })
			m.checkPowerOff(typePowerOff)
		})
	})
}

// prepareServers gives the servers what they expect of a machine.
func prepareServers(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err == nil {
		err = unix.Mount("tmpfs", "/run", "tmpfs", 0, "") // their sockets
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve starts a server and ends it with the test.
func serve(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s (scripts/setup.sh installs it): %v", name, err)
	}
	t.Cleanup(func() { end(cmd) })
	return cmd
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// ganeshaConfig is a server with two exports. Version 3 is for rpcbind to find.
const ganeshaConfig = `NFS_CORE_PARAM { Protocols = 3,4; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
	Mount_Path_Pseudo = true;
	Plugins_Dir = /usr/lib/x86_64-linux-gnu/ganesha; }
NFSv4 { RecoveryBackend = fs; RecoveryRoot = DIR/recovery; Graceless = true; }
EXPORT { Export_Id = 1; Path = DIR/export; Pseudo = /export; Protocols = 4; Access_Type = RO; Squash = None;
	SecType = sys; FSAL { Name = VFS; } }
EXPORT { Export_Id = 2; Path = DIR/older; Pseudo = /older; Tag = older; Protocols = 3; Access_Type = RO; Squash = None;
	SecType = sys; FSAL { Name = VFS; } }
NFSv3 { }
LOG { Default_Log_Level = EVENT; }
`

// startNFS exports a directory with a guest by version 4, and one by version 3 whose guest nobody would trust.
func startNFS(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	for _, sub := range []string{"recovery", "export/guests", "older"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	guest := guestDir(t, filepath.Join(dir, "export/guests"), "netguest")
	write(t, filepath.Join(guest, "netguest.cfg"), netDiskConfig)
	write(t, filepath.Join(guest, "disk.img"), strings.Repeat("what is on NFS\n", 4<<20)[:32<<20])
	bold := guestDir(t, filepath.Join(dir, "older"), "bold")
	write(t, filepath.Join(bold, "bold.cfg"), "kernel = \"dom0\"\nbootloader = \"/bin/sh\"\nmemory = 96\n")
	config := filepath.Join(dir, "ganesha.conf")
	write(t, config, strings.ReplaceAll(ganeshaConfig, "DIR", dir))
	serve(t, "/usr/sbin/rpcbind", "-f", "-w")
	time.Sleep(time.Second) // the server asks once
	return serve(t, "/usr/bin/ganesha.nfsd", "-F", "-f", config, "-L", filepath.Join(dir, "ganesha.log"),
		"-p", filepath.Join(dir, "ganesha.pid"))
}

// makeNetDisk makes a labelled volume with a guest.
func makeNetDisk(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "guests"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := guestDir(t, filepath.Join(root, "guests"), "blockguest")
	write(t, filepath.Join(dir, "blockguest.cfg"), netDiskConfig)
	write(t, filepath.Join(dir, "disk.img"), strings.Repeat("what is on iSCSI\n", 8<<20)[:96<<20])
	return makeFileSystem(t, root, `mkfs.ext4 -q -L ZERODISC-net -d $DIR $FILE`)
}

// startTarget serves a disk by iSCSI, with a password in each direction.
func startTarget(t *testing.T, file string) *exec.Cmd {
	t.Helper()
	cmd := serve(t, "/usr/sbin/tgtd", "-f", "--iscsi", "portal=127.0.0.1:3260")
	for began := time.Now(); exec.Command("tgtadm", "--mode", "sys", "--op", "show").Run() != nil; {
		if time.Since(began) > soon {
			t.Fatal("tgtd does not answer")
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, args := range []string{
		"target new --tid 1 --targetname " + targetName,
		"logicalunit new --tid 1 --lun 1 --backing-store " + file,
		"account new --user me --password verysecretword", "account bind --tid 1 --user me",
		"account new --user it --password othersecretword", "account bind --tid 1 --user it --outgoing",
		"target bind --tid 1 --initiator-address ALL",
	} {
		words := strings.Fields(args)
		tool(t, "tgtadm", append([]string{"--lld", "iscsi", "--mode", words[0], "--op", words[1]}, words[2:]...)...)
	}
	return cmd
}

// checkConnected waits for the three stores and their guests.
func (m *VM) checkConnected() {
	export := m.Wait(`msg="`+boot.MsgNetStorage+`" state=connected url=`+exportURL, addressLimit)
	if export.Get("version") != "4.1" || export.Get("guests") != "netguest" || export.Get("mount") != "/media/export" {
		m.Errorf("%v", export)
	}
	older := m.Wait(`msg="`+boot.MsgNetStorage+`" state=connected url=`+olderURL, addressLimit)
	if older.Get("version") != "3" || older.Get("guests") != "bold" {
		m.Errorf("%v", older)
	}
	if refused := m.Wait(`msg="guest refused" guest=bold`, soon); !strings.Contains(refused.Get("err"), "not trusted") {
		m.Errorf("%v", refused)
	}
	disk := m.Wait(`msg="`+boot.MsgNetStorage+`" state=connected url=`+targetURL, addressLimit).Get("device")
	if volume := m.Wait(`msg="`+boot.MsgStorage+`" device=`+disk, soon); volume.Get("guests") != "blockguest" {
		m.Errorf("%v", volume)
	}
	if ro := m.Shell("cat /sys/block/" + filepath.Base(disk) + "/ro"); strings.TrimSpace(ro) != "1" {
		m.Errorf("%s can be written to: %s", disk, ro)
	}
	for _, guest := range []string{"netguest", "blockguest"} {
		m.Wait(`msg="guest address" guest=`+guest, bootLimit)
	}
	const mount = "10.0.2.2:/export /media/export nfs4 ro,nosuid,nodev,noexec"
	if mounts := m.Shell("cat /proc/mounts"); !strings.Contains(mounts, mount) {
		m.Errorf("%s", mounts)
	}
	if open := m.Shell("cat /proc/net/tcp"); strings.Count(open, " 0A ") > 0 {
		m.Errorf("something listens:\n%s", open)
	}
}

// checkNetWriter has the guest write to its disk and read back what it wrote.
func (m *VM) checkNetWriter() {
	m.Enter("xl console blockguest")
	defer m.leaveConsole()
	m.Enter("")
	m.Enter("echo changed-xvda | dd of=/dev/xvda bs=512; sync; head -c 12 /dev/xvda")
	m.WaitText("^changed-xvda", addressLimit)
}

// checkTargetAway ends the target's server while a guest reads, and starts it again.
func (m *VM) checkTargetAway(target *exec.Cmd, again func()) {
	now := m.FromNow()
	end(target)
	lost := now.Wait(`msg="`+boot.MsgNetStorage+`" state=lost url=`+targetURL, soon)
	if lost.Get("guests") != "blockguest" || lost.Get("err") == "" {
		m.Errorf("%v", lost)
	}
	m.Enter("xl console blockguest")
	m.Enter("")
	m.Enter("dd if=/dev/xvda bs=65536 of=/dev/null skip=1000 count=200 && echo read well; echo read on")
	time.Sleep(5 * time.Second)
	if m.Said("^read on") {
		m.Errorf("a read has ended without the target")
	}
	m.leaveConsole() // dom0's lines wait while it is open
	again()
	m.Wait(`msg="`+boot.MsgNetStorage+`" state=connected url=`+targetURL, soon)
	m.Until("the guest has read", addressLimit, func() bool { return m.guestSaid("blockguest", "read well") })
}

// checkHungNFS stops the NFS server, without a word to its clients.
func (m *VM) checkHungNFS(server *exec.Cmd) {
	now := m.FromNow()
	if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
		m.Fatalf("%v", err)
	}
	lost := now.Wait(`msg="`+boot.MsgNetStorage+`" state=lost url=`+exportURL, 2*soon)
	if lost.Get("guests") != "netguest" {
		m.Errorf("%v", lost)
	}
	if status := m.Shell("status"); !strings.Contains(status, "storage "+exportURL+": lost") {
		m.Errorf("%s", status)
	}
	m.checkListed("netguest", "blockguest")
}
