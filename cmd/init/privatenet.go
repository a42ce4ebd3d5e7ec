package main

import (
	"context"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/privnet"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// natModules are the parts of the packet filter that private networks use. The kernel would ask for one after the
// other, by a program that it has to start.
var natModules = []string{"nft_chain_nat", "nft_masq", "nft_connlimit"}

// guardNetwork has the rules of dom0 and of all bridges in force, and keeps them in step with dom0's addresses. It
// starts the private networks; guests on the default bridge get one while dom0 has no address.
func (d *dom0) guardNetwork(ctx context.Context) error {
	rules := vifrules.Rules{Dir: vifrules.Dir}
	private := privateNetworksOf(d.config())
	if len(private) > 0 {
		if err := loadModules(ctx, natModules...); err != nil {
			d.log.Debug("private network", "err", err) // the kernel asks again for what is missing
		}
	}
	if err := rules.Configure(func(c *vifrules.Config) {
		c.Host.Private = nil
		for _, p := range private { // guests may come before the networks are there
			c.Host.Private = append(c.Host.Private, p.Rule())
		}
	}); err != nil {
		return err
	}
	for _, p := range private {
		p.Rules, p.ResolvConf, p.Report = rules, resolvConf, d.reportPrivate
		d.service("private network of "+p.Bridge, func(ctx context.Context) error { return privnet.Run(ctx, p) })
	}
	var addressed chan bool // nil: nobody wants to know
	if wantsFallback(d.config()) {
		addressed = make(chan bool)
		fallback := privnet.NewFallback(privnet.Options{
			Bridge: d.bridge, Rules: rules, ResolvConf: resolvConf, Report: d.reportPrivate,
		})
		go fallback.Run(ctx, addressed)
	}
	go privnet.Follow(ctx, rules, d.bridge, addressed, d.reportPrivate)
	for _, i := range d.network.Interfaces {
		if i.Bridge != d.bridge && i.NIC != netcfg.NoNIC {
			go privnet.Follow(ctx, rules, i.Bridge, nil, d.reportPrivate)
		}
	}
	return nil
}

// reportPrivate says what became of a private network.
func (d *dom0) reportPrivate(e privnet.Event) {
	switch e.Kind {
	case privnet.EventStarted:
		d.log.Info(boot.MsgPrivateNet, "bridge", e.Bridge, "state", "started", "address", e.Prefix)
	case privnet.EventStopped:
		d.log.Info(boot.MsgPrivateNet, "bridge", e.Bridge, "state", "ended")
	case privnet.EventLeased:
		d.log.Debug(boot.MsgPrivateNet, "bridge", e.Bridge, "guest", e.Guest, "mac", e.MAC, "leased", e.Address)
	case privnet.EventProblem:
		d.log.Warn(boot.MsgPrivateNet, "bridge", e.Bridge, "err", e.Err, "remedy", "it is tried again; see ip addr")
	}
}
