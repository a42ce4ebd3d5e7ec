package netcfg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/vishvananda/netlink"
)

// ipv6Settings is where the kernel has its settings of IPv6, a directory for each link (ip-sysctl.rst).
const ipv6Settings = "/proc/sys/net/ipv6/conf"

// hasIPv6 says whether the kernel has IPv6 at all.
var hasIPv6 = sync.OnceValue(func() bool {
	_, err := os.Stat(ipv6Settings)
	return err == nil
})

// settleIPv6 lets a link have IPv6 addresses or not. The kernel makes none by itself: it would take the advertisements
// of guests for those of routers, and their answers for those of hosts that have its addresses.
func settleIPv6(ifname string, method Method) error {
	disabled := "0"
	if method == None {
		disabled = "1"
	}
	return errors.Join(quietIPv6(ifname), setIPv6(ifname, "disable_ipv6", disabled))
}

// quietIPv6 makes the kernel ignore advertisements on a link, and make no address of its own there.
func quietIPv6(ifname string) error {
	if link, err := netlink.LinkByName(ifname); err == nil {
		_ = netlink.LinkSetIP6AddrGenMode(link, addrGenNone) // a kernel without IPv6 has nothing to prevent
	}
	return errors.Join(
		setIPv6(ifname, "accept_ra", "0"), setIPv6(ifname, "autoconf", "0"), setIPv6(ifname, "accept_redirects", "0"))
}

// setIPv6 sets one setting of a link. A link that has just gone, and a kernel without IPv6, have none.
func setIPv6(ifname, setting, value string) error {
	err := os.WriteFile(filepath.Join(ipv6Settings, ifname, setting), []byte(value), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set %s of %s: %w", setting, ifname, err)
	}
	return nil
}
