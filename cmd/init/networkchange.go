package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/vifrules"
	"github.com/zerodisc/zerodisc/internal/webstore"
)

// Times of a change of the network that was fetched by the network.
const (
	reachLimit = 45 * time.Second // for its source to be reached again; less than guests wait
	reachTry   = 5 * time.Second  // for one answer
	reachPause = time.Second
)

// errCutOff is in place of a network's settings that cut this machine off. The board has room for the beginning.
var errCutOff = errors.New("taken back: with these settings their own source cannot be reached any more")

// tryNetwork changes the network, and the rules of guests that run, to what a source asks for that was fetched by it.
// before is the configuration without that source, and reach finds out whether the source can still be reached: a guest
// may be dom0's router. If not, everything is as before: a machine that nobody can reach is worse than one with the
// wrong address.
func (d *dom0) tryNetwork(
	ctx context.Context, layer int, before *config.Config, reach func(context.Context) error,
) {
	changed := d.config()
	if sameNetworks(before, changed) && !d.concernsGuests(before) {
		return
	}
	err := d.changeNetwork(ctx, before)
	if err == nil {
		err = reach(ctx)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	d.conf.layers[layer].Config.DropNetwork()
	d.apply()
	d.reportProblems([]config.Problem{{Source: d.conf.layers[layer].Source, Key: "network", Text: err.Error()}})
	if err := d.changeNetwork(ctx, changed); err != nil {
		d.log.Error("network", "err", err)
	}
}

// sameNetworks says whether two configurations ask for the same networks.
func sameNetworks(a, b *config.Config) bool {
	networkA, _ := networkOf(a)
	networkB, _ := networkOf(b)
	return reflect.DeepEqual(networkA, networkB) &&
		reflect.DeepEqual(privateNetworksOf(a), privateNetworksOf(b)) &&
		reflect.DeepEqual(fallbacksOf(a), fallbacksOf(b))
}

// sameRules says whether two configurations ask for the same rules of guests.
func sameRules(a, b *config.Config) bool { return reflect.DeepEqual(rulesOf(a), rulesOf(b)) }

// concernsGuests says whether there are guests with other rules than the configuration asks for now.
func (d *dom0) concernsGuests(before *config.Config) bool {
	return d.owners != nil && !sameRules(before, d.config()) &&
		slices.ContainsFunc(d.state.Snapshot().Guests, func(g host.Guest) bool { return g.Managed && g.Domid != 0 })
}

// rulesOf are the rules that a configuration asks for, by the names of guests; without those that say nothing.
func rulesOf(c *config.Config) map[string]vifrules.Guest {
	rules := map[string]vifrules.Guest{}
	for name, guest := range c.Guests {
		if r := guestRules(guest.Network); !reflect.DeepEqual(r, guestRules(config.GuestNetwork{})) {
			rules[name] = r
		}
	}
	return rules
}

// changeNetwork makes the network, and the rules of guests that run, what the configuration asks for now. before is the
// configuration that they were made by.
func (d *dom0) changeNetwork(ctx context.Context, before *config.Config) error {
	if !sameNetworks(before, d.config()) {
		if err := d.changeBridges(ctx, before); err != nil {
			return err
		}
	}
	if !d.concernsGuests(before) {
		return nil
	}
	if err := d.owners.controller.RefreshRules(ctx); err != nil {
		d.log.Error(boot.MsgRules, "state", "failed", "err", err,
			"remedy", "the guest goes on with the rules that it had; guest restart gives it the new ones")
		d.state.Tell(host.Problem{Text: err.Error()})
	}
	return nil
}

// changeBridges makes bridges and addresses what the configuration asks for now.
func (d *dom0) changeBridges(ctx context.Context, before *config.Config) error {
	network, problems := networkOf(d.config())
	d.reportProblems(problems)
	if err := d.manager.Apply(ctx, network); err != nil {
		return err
	}
	err := d.guardNetwork(ctx, d.config())
	d.keepNetworkServices(d.networkServices(before))
	return err
}

// reach waits until the server of a source answers, whatever it says.
func (d *dom0) reach(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	for {
		whole, err := config.Expand(url, d.machineIdentity())
		if err == nil {
			err = answersAt(ctx, whole)
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(reachPause):
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", errCutOff, err)
		}
	}
}

// answersAt says why a server does not answer. It is asked by a connection of its own: an old one may have been made by
// the network that there was.
func answersAt(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTry)
	defer cancel()
	client := webstore.NewClient()
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
