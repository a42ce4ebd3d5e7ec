package netcfg

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Bridge is a bridge that joins at most one NIC and any number of guests.
type Bridge struct{ Name string }

// Ensure creates the bridge unless it is there already, and sets it up: spanning tree off,
// forward delay 0 (a port forwards from its first moment on), multicast snooping off (without a
// querier on the LAN it would cut guests off from multicast), link up. VLANs stay as they are.
//
// Its MAC is set, at first to a random one, because the MAC of a bridge that has none set
// changes with its ports, and the lease is bound to it.
func (b Bridge) Ensure() error {
	link, err := b.link()
	if isNotFound(err) {
		link, err = b.create()
	}
	if err != nil {
		return err
	}
	if err := tuneBridge(link); err != nil {
		return fmt.Errorf("set up bridge %s: %w", b.Name, err)
	}
	if err := quietIPv6(b.Name); err != nil {
		return fmt.Errorf("set up bridge %s: %w", b.Name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set bridge %s up: %w", b.Name, err)
	}
	return nil
}

func (b Bridge) create() (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = b.Name
	attrs.HardwareAddr = randomMAC()
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return nil, fmt.Errorf("create bridge %s: %w", b.Name, err)
	}
	return b.link()
}

// link looks the bridge up.
func (b Bridge) link() (netlink.Link, error) {
	link, err := netlink.LinkByName(b.Name)
	if err != nil {
		return nil, fmt.Errorf("look up bridge %s: %w", b.Name, err)
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("look up bridge %s: a link of this name exists, but is of type %s", b.Name, link.Type())
	}
	return link, nil
}

// tuneBridge sets the attributes that package netlink has no fields for.
func tuneBridge(link netlink.Link) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(link.Attrs().Index)
	request.AddData(message)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_MCAST_SNOOPING, []byte{0})
	request.AddData(info)
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// randomMAC returns a unicast address from the locally administered range.
func randomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	rand.Read(mac) // never fails (crypto/rand)
	mac[0] = mac[0]&^0x01 | 0x02
	return mac
}

// Adopt puts a NIC into the bridge and gives the bridge the MAC in nic, as a rule the NIC's own: to the LAN the host
// then looks as if there were no bridge. The NIC has to be up.
func (b Bridge) Adopt(nic NIC) error {
	bridge, err := b.link()
	if err != nil {
		return err
	}
	port, err := netlink.LinkByIndex(nic.Index)
	if err != nil {
		return fmt.Errorf("look up %s: %w", nic.Name, err)
	}
	if err := netlink.LinkSetHardwareAddr(bridge, nic.MAC); err != nil {
		return fmt.Errorf("set MAC of bridge %s to %s: %w", b.Name, nic.MAC, err)
	}
	if err := netlink.LinkSetMaster(port, bridge); err != nil {
		return fmt.Errorf("put %s into bridge %s: %w", nic.Name, b.Name, err)
	}
	return nil
}

// removeUnused removes the bridge unless something is in it: guests keep theirs.
func (b Bridge) removeUnused() error {
	bridge, err := b.link()
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if ports, err := portsOf(bridge); err != nil || len(ports) > 0 {
		return err
	}
	if err := netlink.LinkDel(bridge); err != nil {
		return fmt.Errorf("remove bridge %s: %w", b.Name, err)
	}
	return nil
}

// has says whether the link with the given index is a port of the bridge.
func (b Bridge) has(index int) bool {
	bridge, err := b.link()
	if err != nil {
		return false
	}
	port, err := netlink.LinkByIndex(index)
	return err == nil && port.Attrs().MasterIndex == bridge.Attrs().Index
}

// Release takes a NIC out of whatever bridge it is in. One that is gone is no error.
func Release(index int) error {
	port, err := netlink.LinkByIndex(index)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up link %d: %w", index, err)
	}
	if err := netlink.LinkSetNoMaster(port); err != nil {
		return fmt.Errorf("take %s out of its bridge: %w", port.Attrs().Name, err)
	}
	return nil
}

// AttachPort puts an interface, such as a guest's vif, into a bridge, with the bridge's MTU, and
// sets it up. The bridge's own MAC, MTU and addresses stay as they are. joined is called when the interface is a port
// and not up yet: no frame has gone through it; nil for nothing.
func AttachPort(bridge, ifname string, joined func() error) error {
	target, err := Bridge{bridge}.link()
	if isNotFound(err) {
		return fmt.Errorf("attach %s: bridge %s does not exist; name an existing one in the guest's vif (bridge=)",
			ifname, bridge)
	}
	if err != nil {
		return fmt.Errorf("attach %s: %w", ifname, err)
	}
	port, err := netlink.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("attach %s to bridge %s: look up: %w", ifname, bridge, err)
	}
	// First of all: a bridge whose MTU nobody has set takes the smallest of its ports'.
	if mtu := target.Attrs().MTU; port.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(port, mtu); err != nil {
			return fmt.Errorf("attach %s to bridge %s: set MTU %d: %w", ifname, bridge, mtu, err)
		}
	}
	if err := netlink.LinkSetMaster(port, target); err != nil {
		return fmt.Errorf("attach %s to bridge %s: %w", ifname, bridge, err)
	}
	if joined != nil {
		if err := joined(); err != nil {
			return err
		}
	}
	if err := raisePort(port); err != nil {
		return fmt.Errorf("attach %s to bridge %s: %w", ifname, bridge, err)
	}
	return nil
}

// PortOf returns the name of the port by which a frame from a MAC last came in. The error wraps unix.ENOENT if
// there was none for minutes.
func (b Bridge) PortOf(mac net.HardwareAddr) (string, error) {
	bridge, err := b.link()
	if err != nil {
		return "", err
	}
	request := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	request.AddData(&netlink.Ndmsg{Family: unix.AF_BRIDGE})
	request.AddData(nl.NewRtAttr(netlink.NDA_LLADDR, mac))
	request.AddData(nl.NewRtAttr(netlink.NDA_MASTER, nl.Uint32Attr(uint32(bridge.Attrs().Index))))
	answers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil {
		return "", fmt.Errorf("look up %s in bridge %s: %w", mac, b.Name, err)
	}
	if len(answers) == 0 {
		return "", fmt.Errorf("look up %s in bridge %s: %w", mac, b.Name, unix.ENOENT)
	}
	entry, err := netlink.NeighDeserialize(answers[0])
	if err != nil {
		return "", fmt.Errorf("look up %s in bridge %s: %w", mac, b.Name, err)
	}
	port, err := netlink.LinkByIndex(entry.LinkIndex)
	if err != nil {
		return "", fmt.Errorf("look up %s in bridge %s: %w", mac, b.Name, err)
	}
	return port.Attrs().Name, nil
}

// isGone says whether an error only means that a link has just been taken away.
func isGone(err error) bool { return isNotFound(err) || errors.Is(err, unix.ENODEV) }

func isNotFound(err error) bool {
	_, notFound := errors.AsType[netlink.LinkNotFoundError](err)
	return notFound
}
