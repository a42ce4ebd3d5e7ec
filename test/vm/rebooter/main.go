// Command rebooter is the first process of a guest that reboots as soon as it has started.
package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func main() {
	fmt.Println("rebooter:", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}
