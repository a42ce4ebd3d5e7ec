package netserve

import (
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// Vendor classes (option 60) that boot clients begin theirs with, and that replies to them have.
const (
	classPXE  = "PXEClient"  // PXE specification 2.1, table 2-1
	classHTTP = "HTTPClient" // UEFI specification 2.10, section 24.7
)

// optionIPXE holds iPXE's own options; featureHTTP is there where it can load by HTTP.
const (
	optionIPXE  = dhcpv4.GenericOptionCode(175)
	featureHTTP = dhcpv4.GenericOptionCode(19)
)

// client is what a boot client says of itself.
type client struct {
	class string    // classPXE or classHTTP
	arch  iana.Arch // option 93 (RFC 4578, section 2.1)
	ipxe  bool      // it is iPXE, and not the firmware's own
	http  bool      // it can load by HTTP
}

// identify reads what a message says of its client. It returns false for one that does not boot
// from the network.
func identify(m *dhcpv4.DHCPv4) (client, bool) {
	var c client
	for _, class := range []string{classPXE, classHTTP} {
		if strings.HasPrefix(m.ClassIdentifier(), class) {
			c.class = class
		}
	}
	if c.class == "" {
		return client{}, false
	}
	c.arch = knownArch(c.class, m.ClientArch())
	c.ipxe = slices.Contains(m.UserClass(), "iPXE")
	c.http = c.class == classHTTP || c.ipxe && ipxeHasHTTP(m)
	return c, true
}

// knownArch chooses among the architectures that a client can start programs of. One that names
// none is a BIOS older than the option.
func knownArch(class string, archs []iana.Arch) iana.Arch {
	for _, arch := range archs {
		if _, ok := platforms[platform{class, arch}]; ok {
			return arch
		}
	}
	if len(archs) > 0 {
		return archs[0]
	}
	return iana.INTEL_X86PC
}

// ipxeHasHTTP reads iPXE's list of features. One without a list is a usual build, which has HTTP.
func ipxeHasHTTP(m *dhcpv4.DHCPv4) bool {
	list := m.Options.Get(optionIPXE)
	features := dhcpv4.Options{}
	if list == nil || features.FromBytes(list) != nil {
		return true
	}
	return features.Has(featureHTTP)
}

// platform is what decides on the boot file.
type platform struct {
	class string
	arch  iana.Arch
}

// platforms are those that the netboot tree has something for. Firmware for x86-64 names itself
// as 7 or, by an erratum of RFC 4578, as 9.
var platforms = map[platform]struct{ name, file string }{
	{classPXE, iana.INTEL_X86PC}:      {"BIOS", fileBIOS},
	{classPXE, iana.EFI_X86_64}:       {"UEFI", fileUEFI},
	{classPXE, iana.EFI_BC}:           {"UEFI", fileUEFI},
	{classHTTP, iana.EFI_X86_64_HTTP}: {"UEFI HTTP Boot", fileUEFI},
}

// String names the client as a person would.
func (c client) String() string {
	name := c.arch.String()
	if known, ok := platforms[platform{c.class, c.arch}]; ok {
		name = known.name
	}
	if c.ipxe {
		return "iPXE on " + name
	}
	return name
}

// isBIOS says whether the client's own firmware is a BIOS.
func (c client) isBIOS() bool { return c.arch == iana.INTEL_X86PC }

// bootFile returns what a client is to load: a name for TFTP or a URL; "": the tree has nothing
// for it.
func (s site) bootFile(c client) string {
	known, ok := platforms[platform{c.class, c.arch}]
	switch {
	case !ok:
		return ""
	case c.ipxe && c.http:
		return s.url(fileIPXE)
	case c.ipxe:
		return fileIPXE
	case c.http:
		return s.url(known.file)
	case known.file == fileBIOS && !s.leases:
		// GRUB on BIOS looks for its server in the answer of the server that gave the address
		// (grub-core/net/drivers/i386/pc/pxe.c), which is another one and knows nothing of it.
		return fileUNDI
	}
	return known.file
}
