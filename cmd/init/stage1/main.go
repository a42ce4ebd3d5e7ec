// Command stage1 is what the kernel starts first, /init in the initrd of dom0 and of a demo guest. It
// mounts the userland, which lies there as a compressed image, at /usr and becomes the init in it.
// It is a program of its own because the kernel unpacks it into RAM: the userland is eight times
// its size.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/loopdev"
)

// patience is how long a person has to read why the machine did not start before it reboots: one
// that boots from the network may get a better initrd then.
const patience = time.Minute

func main() {
	err := mountUserland()
	if err == nil {
		// Its room in RAM is given back when it is left.
		_ = os.Remove("/init")
		err = unix.Exec(boot.InitProgram, []string{"init"}, os.Environ())
	}
	// Standard error is the console. Process 1 must not end: the kernel would panic.
	fmt.Fprintf(os.Stderr, "\nzerodisc: cannot start: %v\n"+
		"The initrd is damaged: check the disc, or write it anew. Rebooting in %v.\n", err, patience)
	time.Sleep(patience)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

// mountUserland mounts the userland's image at /usr.
func mountUserland() error {
	for _, module := range boot.Stage1Modules {
		if err := load(filepath.Join(boot.EarlyModules, module+".ko"), parameters[module]); err != nil {
			return err
		}
	}
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	return loopdev.MountImage(boot.UserlandImage, "/usr")
}

// parameters of modules. A loop device costs 60 KiB, and the driver makes eight; here each is made when it is needed.
var parameters = map[string]string{"loop": "max_loop=0"}

// load loads a module that needs no other.
func load(name, parameters string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), parameters, 0); err != nil {
		return fmt.Errorf("load module %s: %w", name, err)
	}
	return nil
}
