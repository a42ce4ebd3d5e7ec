package vifrules

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// damage says what is missing in the kernel of what the files ask for: a table, a chain's rules, a set's elements; ""
// is nothing. Rules are counted, not compared: it is for what somebody has flushed or deleted.
func (t *tables) damage(f *files) (string, error) {
	if exists, err := t.exists(); err != nil || !exists {
		return "the table is gone", err
	}
	for _, part := range []struct {
		table *nftables.Table
		rules map[string]int
	}{{t.bridge, f.bridgeRules()}, {t.host, f.hostRules()}} {
		present, err := countRules(part.table)
		if err != nil {
			return "", err
		}
		for _, chain := range slices.Sorted(maps.Keys(part.rules)) {
			if have, want := present[chain], part.rules[chain]; have != want {
				return fmt.Sprintf("the chain %s has %d rules, not %d", chain, have, want), nil
			}
		}
	}
	return t.damagedSet(f)
}

// damagedSet is damage for sets.
func (t *tables) damagedSet(f *files) (string, error) {
	sizes := f.setSizes()
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		elements, err := t.conn.GetSetElements(&nftables.Set{Table: t.bridge, Name: name})
		if err != nil {
			return fmt.Sprintf("the set %s cannot be read", name), nil
		}
		if len(elements) != sizes[name] {
			return fmt.Sprintf("the set %s has %d elements, not %d", name, len(elements), sizes[name]), nil
		}
	}
	return "", nil
}

// bridgeRules are the numbers of rules in the chains of the bridge's table, hostRules those in dom0's own.
func (f *files) bridgeRules() map[string]int {
	rules := numberOf(bridgeChains(f.config.Host))
	for _, v := range f.vifs {
		for direction, list := range vifChains(&f.config, v) {
			rules[chainOf(direction, v.Name)] = len(list)
		}
	}
	return rules
}

func (f *files) hostRules() map[string]int {
	chains := hostChains(f.config.Host)
	if len(f.config.Host.Private) > 0 {
		chains = append(chains, translateChain(f.config.Host))
	}
	return numberOf(chains)
}

func numberOf(chains []chain) map[string]int {
	rules := map[string]int{}
	for _, c := range chains {
		rules[c.name] = len(c.rules)
	}
	return rules
}

// setSizes are the numbers of elements in the sets that decide what happens to a frame.
func (f *files) setSizes() map[string]int {
	sizes := map[string]int{setGuests: len(f.vifs)}
	for _, direction := range verdicts {
		sizes[direction] = len(f.vifs)
	}
	for _, s := range addressSets {
		addresses := s.of(f)
		sizes[s.four], sizes[s.six] = len(keys(addresses, is4)), len(keys(addresses, is6))
	}
	for _, v := range f.vifs {
		if f.config.Guests[v.UUID].Isolated {
			sizes[setIsolated]++
		}
	}
	return sizes
}

// countRules counts the rules of each chain in a table, in one request.
func countRules(table *nftables.Table) (map[string]int, error) {
	of, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: []byte(table.Name + "\x00")},
	})
	if err != nil {
		return nil, err
	}
	replies, err := ask(table.Family, unix.NFT_MSG_GETRULE, netlink.Dump, of)
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	rules := map[string]int{}
	for _, reply := range replies {
		chain, err := attribute(reply, unix.NFTA_RULE_CHAIN)
		if err != nil {
			return nil, fmt.Errorf("list rules: %w", err)
		}
		rules[string(bytes.TrimRight(chain, "\x00"))]++
	}
	return rules, nil
}

// generation is the number of the kernel's rules: whoever changes any makes it another one.
func generation() (uint32, error) {
	replies, err := ask(nftables.TableFamilyUnspecified, unix.NFT_MSG_GETGEN, 0, nil)
	if err != nil {
		return 0, fmt.Errorf("number of the rules: %w", err)
	}
	for _, reply := range replies {
		if number, err := attribute(reply, unix.NFTA_GEN_ID); err == nil && len(number) == 4 {
			return binary.BigEndian.Uint32(number), nil
		}
	}
	return 0, errors.New("number of the rules: the kernel has not said it")
}

// ask asks the kernel something that the library does not.
func ask(of nftables.TableFamily, kind int, flags netlink.HeaderFlags, data []byte) ([]netlink.Message, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetReadBuffer(buffer); err != nil {
		return nil, err
	}
	return conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags,
		},
		Data: append([]byte{byte(of), unix.NFNETLINK_V0, 0, 0}, data...),
	})
}

// nfgenBytes is the size of the header that each message of netfilter begins with (struct nfgenmsg).
const nfgenBytes = 4

// attribute returns a message's attribute, nil where it has none.
func attribute(m netlink.Message, kind uint16) ([]byte, error) {
	if len(m.Data) < nfgenBytes {
		return nil, fmt.Errorf("a message of %d bytes", len(m.Data))
	}
	attributes, err := netlink.NewAttributeDecoder(m.Data[nfgenBytes:])
	if err != nil {
		return nil, err
	}
	for attributes.Next() {
		if attributes.Type() == kind {
			return attributes.Bytes(), nil
		}
	}
	return nil, attributes.Err()
}
