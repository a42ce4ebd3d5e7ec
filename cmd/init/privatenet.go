package main

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/privnet"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// natModules are the parts of the packet filter that private networks use. The kernel would ask for one after the
// other, by a program that it has to start.
var natModules = []string{"nft_chain_nat", "nft_masq", "nft_connlimit"}

// networkRules are those of this host.
var networkRules = vifrules.Rules{Dir: vifrules.Dir}

// guardNetwork has the rules of dom0 and of all bridges in force. Those of private networks are there before the
// networks are: guests may come first.
func (d *dom0) guardNetwork(ctx context.Context, c *config.Config) error {
	private := privateNetworksOf(c)
	if len(private) > 0 {
		if err := loadModules(ctx, natModules...); err != nil {
			d.log.Debug("private network", "err", err) // the kernel asks again for what is missing
		}
	}
	return networkRules.Configure(func(c *vifrules.Config) {
		c.Host.Private = slices.DeleteFunc(slices.Clone(c.Host.Private), func(p vifrules.Private) bool {
			return !p.Temporary
		})
		for _, p := range private {
			c.Host.Private = append(c.Host.Private, p.Rule())
		}
	})
}

// networkService is a service that a configuration asks for. Two that are about equals do the same.
type networkService struct {
	about any
	run   func(context.Context) error
}

// networkServices are those that keep a configuration's networks going, by name.
func (d *dom0) networkServices(c *config.Config) map[string]networkService {
	services := map[string]networkService{}
	add := func(name string, about any, run func(context.Context) error) {
		services[name] = networkService{about, run}
	}
	add("network-rules", nil, func(ctx context.Context) error { return privnet.Protect(ctx, networkRules) })
	add("rules-guard", nil, func(ctx context.Context) error { return networkRules.Guard(ctx, d.reportRepair) })
	add("guest-traffic", nil, func(ctx context.Context) error { return d.watchTraffic(ctx, networkRules) })
	network, _ := networkOf(c)
	for _, i := range network.Interfaces {
		add("neighbours-"+i.Bridge, nil, func(ctx context.Context) error { return d.watchNeighbours(ctx, i.Bridge) })
		if i.NIC != netcfg.NoNIC {
			add("vlans-"+i.Bridge, nil, func(ctx context.Context) error {
				return privnet.CarryVLANs(ctx, networkRules, i.Bridge)
			})
		}
	}
	for _, o := range privateNetworksOf(c) {
		add("private-"+o.Bridge, o, func(ctx context.Context) error { return privnet.Run(ctx, d.completed(o)) })
	}
	for n, o := range fallbacksOf(c) {
		add("fallback-"+o.Bridge, o, func(ctx context.Context) error {
			return privnet.NewFallback(d.completed(o), n).Run(ctx)
		})
	}
	return services
}

// completed are a private network's options with what does not come from the configuration.
func (d *dom0) completed(o privnet.Options) privnet.Options {
	o.Rules, o.ResolvConf, o.Report = networkRules, resolvConf, d.reportPrivate
	return o
}

// keepNetworkServices has those services run that the configuration asks for now. before are those that run.
func (d *dom0) keepNetworkServices(before map[string]networkService) {
	now := d.networkServices(d.config())
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now[name].run == nil {
			d.switchService(name, false, nil)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		d.switchService(name, true, func(ctx context.Context) error { return d.runNetworkService(ctx, name) })
		if old, runs := before[name]; runs && !reflect.DeepEqual(old.about, now[name].about) {
			d.orderService("restart", name)
		}
	}
}

// runNetworkService runs a service as the configuration asks for it when it is started, by whomever.
func (d *dom0) runNetworkService(ctx context.Context, name string) error {
	service, wanted := d.networkServices(d.config())[name]
	if !wanted {
		return errNotConfigured
	}
	return service.run(ctx)
}

var errNotConfigured = errors.New("the configuration does not ask for it any more")

// reportPrivate says what became of a private network.
func (d *dom0) reportPrivate(e privnet.Event) {
	switch e.Kind {
	case privnet.EventStarted:
		d.log.Info(boot.MsgPrivateNet, "bridge", e.Bridge, "state", "started", "address", e.Prefix)
	case privnet.EventStopped:
		d.log.Info(boot.MsgPrivateNet, "bridge", e.Bridge, "state", "ended")
	case privnet.EventLeased:
		d.log.Debug(boot.MsgPrivateNet, "bridge", e.Bridge, "guest", e.Guest, "mac", e.MAC, "leased", e.Address)
	}
}
