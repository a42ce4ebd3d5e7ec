package netserve

import (
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/zerodisc/zerodisc/internal/dhcpwire"
)

// vendorOptions is option 43 with one tag: PXE_DISCOVERY_CONTROL, bit 3, the client shall load the
// file named in this message, without a menu and without looking for boot servers (PXE
// specification 2.1, table 2-1).
var vendorOptions = []byte{6, 1, 1 << 3, 255}

// isForUs says whether a message is one that a client on this link sent, to every server or to
// this one.
func (s site) isForUs(m *dhcpv4.DHCPv4) bool { return dhcpwire.IsFor(s.address.Addr(), m) }

func (s site) isOursOrNone(ip []byte) bool { return dhcpwire.IsOrNone(s.address.Addr(), ip) }

// proxyReply tells a boot client what to load; the address it has from another server. nil: there
// is nothing for it.
//
// UEFI gets no option 43. Older EDK II drops offers that have it, and without it takes the
// file from a second exchange, on port 4011 (NetworkPkg/UefiPxeBcDxe, offers of type "BINL"). BIOS
// and iPXE with it take the file from the offer. The file is in the header only: EDK II overwrites
// the byte behind option 67 with a NUL.
func (s site) proxyReply(m *dhcpv4.DHCPv4, c client, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	file := s.bootFile(c)
	if file == "" {
		return nil
	}
	reply := s.reply(m, kind)
	s.setBoot(reply, file)
	reply.UpdateOption(dhcpv4.OptClassIdentifier(c.class))
	dhcpv4.WithOptionCopied(m, dhcpv4.OptionClientMachineIdentifier)(reply)
	if c.class == classPXE && (c.ipxe || c.isBIOS()) {
		reply.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, vendorOptions))
	}
	if kind == dhcpv4.MessageTypeOffer {
		reply.SetBroadcast()
	} else {
		reply.ClientIPAddr = m.ClientIPAddr
	}
	return reply
}

// leaseReply offers or grants an address; c, if there is one, is told what to load as well. Where
// firmware speaks PXE there must be no vendor class: it would ask port 4011 again.
func (s site) leaseReply(m *dhcpv4.DHCPv4, c *client, kind dhcpv4.MessageType, address netip.Addr) *dhcpv4.DHCPv4 {
	reply := s.reply(m, kind)
	reply.YourIPAddr = address.AsSlice()
	if kind == dhcpv4.MessageTypeAck {
		reply.ClientIPAddr = m.ClientIPAddr
	}
	reply.UpdateOption(dhcpv4.OptSubnetMask(mask(s.address)))
	reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(leaseTime))
	if c == nil {
		return reply
	}
	if file := s.bootFile(*c); file != "" {
		s.setBoot(reply, file)
		if c.class == classHTTP {
			reply.UpdateOption(dhcpv4.OptClassIdentifier(c.class))
		}
	}
	return reply
}

func (s site) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	return dhcpwire.Reply(m, kind, s.address.Addr())
}

func (s site) setBoot(reply *dhcpv4.DHCPv4, file string) {
	reply.ServerIPAddr = s.address.Addr().AsSlice()
	reply.ServerHostName = s.address.Addr().String()
	reply.BootFileName = file
}
