package main

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/tick"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// reportRepair says that the rules were not what they should be.
func (s *system) reportRepair(r vifrules.Repair) {
	fields := []any{"state", "restored", "err", r.Damage}
	if r.By != "" {
		fields = append(fields, "by", r.By)
	}
	if r.Err == nil {
		s.log.Warn(boot.MsgRules, append(fields, "remedy", "keep other programs from changing nftables in dom0")...)
		return
	}
	fields[1], fields[3] = "failed", r.Err
	s.log.Error(boot.MsgRules, append(fields,
		"remedy", "it is tried again; until then guests may send what they must not")...)
	s.state.Tell(host.Problem{Text: "network rules of guests: " + r.Err.Error()})
}

// trafficPause is the time between two looks at what was dropped, and at who dom0's name servers are. As long as that
// is nothing new a look takes some microseconds.
const trafficPause = 10 * time.Second

// watchTraffic tells of guests that send what they must not, and keeps guests from claiming to be a name server.
func (s *system) watchTraffic(ctx context.Context, rules vifrules.Rules) error {
	watch := vifrules.NewWatch(rules)
	defer watch.Close()
	var resolvers []netip.Addr
	for {
		offences, err := watch.Look()
		if err != nil {
			return err
		}
		for _, o := range offences {
			what, remedy := o.Advice()
			s.state.Tell(host.GuestRefusedTraffic{
				UUID: o.UUID, Name: o.Name, Reason: string(o.Reason), What: what, Packets: o.Packets, Remedy: remedy,
			})
		}
		text, _ := os.ReadFile(resolvConf)
		if now := nameServers(string(text)); !slices.Equal(now, resolvers) {
			if err := rules.Configure(func(c *vifrules.Config) { c.Host.Resolvers = now }); err != nil {
				return err
			}
			resolvers = now
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.After(trafficPause):
		}
	}
}

// nameServers are those of a resolv.conf(5).
func nameServers(text string) []netip.Addr {
	var servers []netip.Addr
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(words[1]); err == nil {
			servers = append(servers, address.WithZone(""))
		}
	}
	return servers
}
