package vifrules

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
)

// tableName is the name of both tables.
const tableName = "zerodisc"

// tables are what this package owns in the kernel.
type tables struct {
	conn         *nftables.Conn
	bridge, host *nftables.Table
}

// buffer is the size of the netlink socket's. A transaction has to fit as a whole, and so do its acknowledgements:
// those of a vif with a long list are some 100 KB.
const buffer = 4 << 20

func openTables() (*tables, error) {
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(buffer), c.SetWriteBuffer(buffer))
	}))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return &tables{
		conn:   conn,
		bridge: &nftables.Table{Name: tableName, Family: nftables.TableFamilyBridge},
		host:   &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet},
	}, nil
}

func (t *tables) close() { _ = t.conn.CloseLasting() }

// commit does what was collected, all of it or nothing.
func (t *tables) commit(what string) error {
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("set %s: %w", what, err)
	}
	return nil
}

// exists says whether the bridge's table is there.
func (t *tables) exists() (bool, error) {
	all, err := t.conn.ListTablesOfFamily(nftables.TableFamilyBridge)
	if err != nil {
		return false, fmt.Errorf("list nftables: %w", err)
	}
	return slices.ContainsFunc(all, func(other *nftables.Table) bool { return other.Name == tableName }), nil
}

// bridgedIP are switches of br_netfilter, which is not on the disc, and built into some kernels: frames that pass a
// bridge would go through dom0's own rules too, and through its table of connections.
var bridgedIP = []string{"iptables", "ip6tables", "arptables"}

func switchOffBridgedIP() error {
	for _, name := range bridgedIP {
		err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+name, []byte("0"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep bridged packets out of dom0's rules: %w", err)
		}
	}
	return nil
}

// setBase makes what every frame on a bridge goes through.
func (t *tables) setBase(f *files) error {
	if err := switchOffBridgedIP(); err != nil {
		return err
	}
	t.conn.AddTable(t.bridge)
	for _, set := range bridgeSets(t.bridge) {
		if err := t.conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("set %s: %w", set.Name, err)
		}
	}
	for _, s := range addressSets {
		addresses := s.of(f)
		if err := errors.Join(
			t.fill(t.bridge, s.four, nftables.TypeIPAddr, keys(addresses, is4)),
			t.fill(t.bridge, s.six, nftables.TypeIP6Addr, keys(addresses, is6))); err != nil {
			return err
		}
	}
	t.addCounters(t.bridge, string(FromNowhere), counterFence, counterBad)
	t.setChains(t.bridge, bridgeChains(f.config.Host))
	return t.commit("rules of bridges")
}

// setHost makes dom0's own rules. What only private networks need (three modules, 60 KB) comes with the first of them.
func (t *tables) setHost(h Host) error {
	chains, err := t.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	t.conn.AddTable(t.host)
	wanted := hostChains(h)
	ofOld := func(c *nftables.Chain) bool { return c.Table.Name == tableName && c.Name == chainTranslate }
	if len(h.Private) > 0 || slices.ContainsFunc(chains, ofOld) {
		wanted = append(wanted, translateChain(h))
	}
	if len(h.Private) > 0 {
		if err := t.conn.AddSet(connectionsSet(t.host), nil); err != nil {
			return fmt.Errorf("set %s: %w", setConnections, err)
		}
	}
	t.addCounters(t.host, hostCounters...)
	t.setChains(t.host, wanted)
	return t.commit("dom0's own rules")
}

func (t *tables) addCounters(table *nftables.Table, names ...string) {
	for _, name := range names {
		t.conn.AddObj(&nftables.CounterObj{Table: table, Name: name})
	}
}

// setChains makes chains, or gives those that there are other rules.
func (t *tables) setChains(table *nftables.Table, chains []chain) {
	for _, c := range chains {
		made := &nftables.Chain{Table: table, Name: c.name, Hooknum: c.hook, Priority: c.priority, Type: c.kind}
		t.conn.AddChain(made)
		t.conn.FlushChain(made)
		for _, r := range c.rules {
			t.conn.AddRule(&nftables.Rule{Table: table, Chain: made, Exprs: r})
		}
	}
}

// fill makes a set have these elements and no others.
func (t *tables) fill(table *nftables.Table, name string, kind nftables.SetDatatype, keys [][]byte) error {
	set := &nftables.Set{Table: table, Name: name, KeyType: kind}
	if err := t.conn.AddSet(set, nil); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	t.conn.FlushSet(set)
	var elements []nftables.SetElement
	for _, key := range keys {
		elements = append(elements, nftables.SetElement{Key: key})
	}
	if err := t.conn.SetAddElements(set, elements); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

var is4, is6 = netip.Addr.Is4, netip.Addr.Is6

// keys are the addresses of one family, each once.
func keys(addresses []netip.Addr, of func(netip.Addr) bool) [][]byte {
	var list [][]byte
	sorted := slices.SortedFunc(slices.Values(addresses), netip.Addr.Compare)
	for _, address := range slices.Compact(sorted) {
		if of(address) {
			list = append(list, address.AsSlice())
		}
	}
	return list
}

// setVif makes all that belongs to a vif, in one transaction.
func (t *tables) setVif(c *Config, v Vif) error {
	if err := t.addVifSets(c, v); err != nil {
		return err
	}
	for _, what := range append([]string{counterRx, counterTx}, reasonNames()...) {
		t.addCounters(t.bridge, counterOf(v.UUID, what))
	}
	for direction, rules := range vifChains(c, v) {
		name := chainOf(direction, v.Name)
		t.setChains(t.bridge, []chain{{name: name, rules: rules}})
		if err := t.element(direction, v.Name, &expr.Verdict{Kind: expr.VerdictJump, Chain: name}, true); err != nil {
			return err
		}
	}
	return t.commit("rules of " + v.Name)
}

func reasonNames() []string {
	var names []string
	for _, reason := range Reasons {
		names = append(names, string(reason))
	}
	return names
}

// addVifSets makes the sets that the chains of a vif use.
func (t *tables) addVifSets(c *Config, v Vif) error {
	own := c.belonging(v)
	none4, none6 := netip.IPv4Unspecified(), netip.IPv6Unspecified() // of a sender that has no address yet
	b := builder{vif: v}
	for _, f := range replyFamilies {
		key, err := nftables.ConcatSetType(f.kind, nftables.TypeInetService, nftables.TypeInetService)
		if err != nil {
			return err
		}
		if err := t.conn.AddSet(&nftables.Set{
			Table: t.bridge, Name: b.replies(f), KeyType: key, Concatenation: true,
			Dynamic: true, HasTimeout: true, Timeout: replyTime, Size: maxReplies,
		}, nil); err != nil {
			return err
		}
	}
	if err := t.conn.AddSet(learnedSet(t.bridge, b.leases(), maxLearned), nil); err != nil {
		return err
	}
	return errors.Join(
		t.fill(t.bridge, b.set4(), nftables.TypeIPAddr, keys(append(own, none4), is4)),
		t.fill(t.bridge, b.set6(), nftables.TypeIP6Addr, keys(append(own, none6), is6)),
		t.member(setGuests, v.Name, true),
		t.member(setIsolated, v.Name, c.Guests[v.UUID].Isolated))
}

// member adds an interface to a set, or takes it out, whether or not it was in.
func (t *tables) member(set, vif string, in bool) error {
	return t.change(&nftables.Set{Table: t.bridge, Name: set, KeyType: nftables.TypeIFName},
		nftables.SetElement{Key: ifname(vif)}, in)
}

// element does the same to a map of verdicts.
func (t *tables) element(set, vif string, verdict *expr.Verdict, in bool) error {
	return t.change(&nftables.Set{
		Table: t.bridge, Name: set, KeyType: nftables.TypeIFName, IsMap: true, DataType: nftables.TypeVerdict,
	}, nftables.SetElement{Key: ifname(vif), VerdictData: verdict}, in)
}

// change adds the element first in any case: to delete one that is not there is an error.
func (t *tables) change(set *nftables.Set, element nftables.SetElement, in bool) error {
	if err := t.conn.SetAddElements(set, []nftables.SetElement{element}); err != nil || in {
		return err
	}
	return t.conn.SetDeleteElements(set, []nftables.SetElement{element})
}

// sweep removes all that belongs to vifs without a record but the guests' counters, which may go on with the next vif.
func (t *tables) sweep(f *files) error {
	chains, err := t.conn.ListChainsOfTableFamily(nftables.TableFamilyBridge)
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	gone := map[string]bool{}
	for _, c := range chains {
		_, vif, isVifs := strings.Cut(c.Name, ".")
		if isVifs && c.Table.Name == tableName && !f.has(vif) {
			gone[vif] = true
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		errs = append(errs, t.removeVif(name))
	}
	return errors.Join(errs...)
}

// removeVif removes the rules of a vif. It may have had some of them only.
func (t *tables) removeVif(name string) error {
	if err := t.forgetLearned(name); err != nil {
		return err
	}
	if err := t.addVifSets(&Config{}, Vif{Name: name}); err != nil {
		return err
	}
	if err := errors.Join(t.member(setGuests, name, false), t.member(setIsolated, name, false)); err != nil {
		return err
	}
	for _, direction := range verdicts {
		chain := &nftables.Chain{Table: t.bridge, Name: chainOf(direction, name)}
		t.conn.AddChain(chain)
		jump := &expr.Verdict{Kind: expr.VerdictJump, Chain: chain.Name}
		if err := t.element(direction, name, jump, false); err != nil {
			return err
		}
		t.conn.FlushChain(chain)
	}
	for _, direction := range verdicts {
		t.conn.DelChain(&nftables.Chain{Table: t.bridge, Name: chainOf(direction, name)})
	}
	for _, kind := range []string{"ip4", "ip6", "udp4", "udp6", "lease4"} {
		t.conn.DelSet(&nftables.Set{Table: t.bridge, Name: chainOf(kind, name)})
	}
	return t.commit("end of rules of " + name)
}
