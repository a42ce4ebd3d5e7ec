package main

import (
	"context"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/report"
	"github.com/zerodisc/zerodisc/internal/stage"
	"github.com/zerodisc/zerodisc/internal/supervise"
	"github.com/zerodisc/zerodisc/internal/webstore"
)

// stateFile has the newest snapshot of the host's state, for `status` and the emergency process.
const stateFile = boot.RunDir + "/state.json"

// keepSnapshot keeps the newest snapshot of the host's state in a file.
func (s *system) keepSnapshot(ctx context.Context) {
	write := func(text string) error { return writeAtomic(stateFile, text) }
	go report.Keep(ctx, write, s.state.Subscribe(ctx), func(err error) { s.log.Debug("state", "err", err) })
}

// startLines starts the host's state with the console lines.
func (s *system) startLines(ctx context.Context, version string) {
	s.state = host.New(ctx, version)
	s.lines = report.NewLines(s.log)
	go s.lines.Run(ctx, s.state.Subscribe(ctx))
}

// reportText is the report as it stands.
func (s *system) reportText() string { return report.Text(s.state.Snapshot()) }

// linesLimit is how long the machine waits for a console that takes no lines.
const linesLimit = 2 * time.Second

// tell makes a fact known and returns when its line is written: what is written past the log, a shell's
// prompt say, comes after it.
func (s *system) tell(fact host.Fact) {
	s.state.Tell(fact)
	s.lines.Wait(s.state.Snapshot().Number, linesLimit)
}

// stageEnded tells how a stage of the boot has ended.
func (s *system) stageEnded(r stage.Result) {
	fact := host.Stage{Name: r.Name, Took: r.Took}
	if r.Err != nil {
		fact.Problem, fact.Remedy = r.Err.Error(), r.Remedy
	}
	s.tell(fact)
}

// networkKinds are the kinds of the network's events in the state. All others change only how an interface stands.
var networkKinds = map[netcfg.EventKind]host.NetworkKind{
	netcfg.EventLease:       host.Lease,
	netcfg.EventNoLease:     host.NoLease,
	netcfg.EventLost:        host.Lost,
	netcfg.EventNoNIC:       host.NoNIC,
	netcfg.EventAddress:     host.AddressSet,
	netcfg.EventAddressGone: host.AddressGone,
	netcfg.EventConflict:    host.AddressConflict,
	netcfg.EventServers:     host.DHCPServers,
	netcfg.EventLinkDown:    host.LinkDown,
	netcfg.EventLinkUp:      host.LinkUp,
	netcfg.EventNoAddress:   host.NoAddress,
	netcfg.EventReachable:   host.Reachable,
	netcfg.EventProblem:     host.NetworkProblem,
	netcfg.EventGone:        host.InterfaceGone,
}

// reportNetwork tells of an event of the network.
func (s *system) reportNetwork(e netcfg.Event) {
	kind, known := networkKinds[e.Kind]
	if !known {
		kind = host.NetworkStatus
		s.log.Debug("network", "event", e.Kind.String(), "interface", e.Interface, "nic", e.NIC, "err", e.Err)
	}
	if kind == host.Lease || kind == host.AddressSet {
		s.wakeClock() // time servers can be reached now, and may be others
	}
	s.state.Tell(networkFact(kind, e))
}

// networkFact is an event of the network as the state has it.
func networkFact(kind host.NetworkKind, e netcfg.Event) host.Network {
	fact := host.Network{
		Kind: kind, Interface: e.Interface, NIC: e.NIC, Primary: e.Primary, Address: e.Address, By: string(e.By),
		Tried: e.Tried, Problem: errorText(e.Err),
		Carrier: e.Status.Carrier, Gateways: e.Status.Gateways, DNS: e.Status.DNS, Search: e.Status.Search,
	}
	for _, address := range e.Status.Addresses {
		fact.Addresses = append(fact.Addresses, host.NetworkAddress{
			Prefix: address.Prefix, By: string(address.By), Expires: address.Expires,
		})
	}
	if kind == host.Lease || kind == host.AddressSet {
		for _, gateway := range e.Status.Gateways {
			if gateway.Is4() == e.Address.Addr().Is4() {
				fact.Gateway = gateway
			}
		}
	}
	return fact
}

// reportDaemon tells what became of a service.
func (s *system) reportDaemon(d supervise.Status) {
	s.state.Tell(host.Daemon{
		Name: d.Name, Phase: string(d.Phase), PID: d.PID, Restarts: d.Restarts, Since: d.Since,
		Problem: errorText(d.Err), Failed: d.Phase == supervise.Failed, Quiet: d.Quiet,
	})
}

// reportStore tells how far a store on a web server is.
func (s *system) reportStore(url string) func(webstore.Event) {
	return func(e webstore.Event) {
		s.state.Tell(host.Store{
			URL: url, State: string(e.State), Quiet: e.Quiet, Guest: e.Guest, Done: e.Done, Total: e.Total,
			Guests: e.Guests, Refused: e.Refused, Took: e.Took, Problem: errorText(e.Err), Remedy: e.Remedy,
		})
	}
}

// errorText is an error's text, "" of none.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
