package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/webstore"
)

// Times of a change of the network that was fetched by the network.
const (
	reachLimit = 45 * time.Second // for its source to be reached again; less than guests wait
	reachTry   = 5 * time.Second  // for one answer
	reachPause = time.Second
)

// errCutOff is in place of a network's settings that cut this machine off.
var errCutOff = errors.New("with these settings its own source cannot be reached any more; the network is as before")

// tryNetwork changes the network to what a source asks for that was fetched by it. before is the configuration without
// that source, and reach finds out whether the source can still be reached. If not, everything is as before: a machine
// that nobody can reach is worse than one with the wrong address.
func (d *dom0) tryNetwork(
	ctx context.Context, layer int, before *config.Config, reach func(context.Context) error,
) {
	changed := d.config()
	if sameNetworks(before, changed) {
		return
	}
	err := d.changeNetwork(ctx, before)
	if err == nil {
		err = reach(ctx)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	d.conf.layers[layer].Config.Network = config.Network{}
	d.conf.layers[layer].Config.DNS = config.DNS{}
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

// changeNetwork makes the network the one that the configuration asks for now. before is the configuration that it was
// made by.
func (d *dom0) changeNetwork(ctx context.Context, before *config.Config) error {
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
