package vifrules

import (
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Addresses that a DHCP server of the LAN gave to guests are learned from its answers, which no guest can send. Then
// they are no other guest's to claim, as are those that dom0 itself knows. They are not all that the guest may use: it
// may have others that nobody gave it.

// setLeased has all those addresses. Each vif has a set of its own besides, see [builder.leases].
const setLeased = "leased"

const (
	maxLearned = 16 // of each vif: what comes when it has more is not learned
	maxLeased  = 4096
	// learnedTime is how long an address is remembered that is not given again. A lease is renewed at half its time
	// (RFC 2131, 4.4.5). With the vif it is forgotten.
	learnedTime = 8 * 24 * time.Hour
)

// Offsets in DHCP's messages, from UDP's header on (RFC 2131, section 2).
const (
	dhcpGiven   = 8 + 16  // yiaddr
	dhcpMAC     = 8 + 28  // chaddr
	dhcpOptions = 8 + 240 // after the magic cookie
)

// dhcpAck is the option that says that a message gives an address (RFC 2132, 9.6). Servers have it first.
var dhcpAck = []byte{53, 1, 5}

func (b *builder) leases() string { return chainOf("lease4", b.vif.Name) }

// learn notes addresses that a server gives to the guest.
func (b *builder) learn() {
	b.add(udp(etherIPv4, portFrom, portDHCPServer),
		payload(transport, dhcpOptions, equal, dhcpAck), payload(transport, dhcpMAC, equal, b.mac),
		rule{
			&expr.Payload{DestRegister: 1, Base: transport, Offset: dhcpGiven, Len: 4},
			&expr.Dynset{SrcRegKey: 1, SetName: b.leases(), Operation: unix.NFT_DYNSET_OP_UPDATE},
			&expr.Dynset{SrcRegKey: 1, SetName: setLeased, Operation: unix.NFT_DYNSET_OP_UPDATE},
		})
}

// leasedToOthers drops what claims an address that was given to another guest.
func (b *builder) leasedToOthers(reason Reason, protocol uint16, offset int) {
	b.drop(reason, ether(protocol), inSet(network, offset, 4, setLeased, false),
		inSet(network, offset, 4, b.leases(), true), inSet(network, offset, 4, b.set4(), true))
}

// learnedSet is a set of learned addresses.
func learnedSet(table *nftables.Table, name string, size uint32) *nftables.Set {
	return &nftables.Set{
		Table: table, Name: name, KeyType: nftables.TypeIPAddr,
		Dynamic: true, HasTimeout: true, Timeout: learnedTime, Size: size,
	}
}

// forgetLearned takes a vif's addresses out of those of all. It has to be committed.
func (t *tables) forgetLearned(vif string) error {
	b := builder{vif: Vif{Name: vif}}
	elements, err := t.conn.GetSetElements(&nftables.Set{Table: t.bridge, Name: b.leases()})
	if err != nil {
		return nil // it has no set, and no rules any more
	}
	for _, e := range elements {
		all := learnedSet(t.bridge, setLeased, maxLeased)
		if err := t.change(all, nftables.SetElement{Key: e.Key}, false); err != nil {
			return err
		}
	}
	return nil
}
