package main

import (
	"context"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/privnet"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// guardNetwork has the rules of dom0 and of all bridges in force, and keeps them in step with dom0's addresses. Guests
// get a private network while dom0 has none.
func (d *dom0) guardNetwork(ctx context.Context) error {
	rules := vifrules.Rules{Dir: vifrules.Dir}
	if err := rules.Configure(func(c *vifrules.Config) { c.Host.Private = nil }); err != nil {
		return err
	}
	addressed := make(chan bool)
	fallback := privnet.NewFallback(privnet.Options{
		Bridge: d.bridge, Rules: rules, ResolvConf: "/etc/resolv.conf", Report: d.reportPrivate,
	})
	go fallback.Run(ctx, addressed)
	go privnet.Follow(ctx, rules, d.bridge, addressed, d.reportPrivate)
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
