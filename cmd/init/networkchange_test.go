package main

import (
	"context"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/supervise"
	"github.com/zerodisc/zerodisc/internal/testns"
	"github.com/zerodisc/zerodisc/internal/vifrules"
)

// A network that a late source asks for is there; one with which the source cannot be reached is taken back.
func TestTryNetwork(t *testing.T) {
	testns.Run(t, syscall.CLONE_NEWNET, func(t *testing.T) {
		networkRules = vifrules.Rules{Dir: t.TempDir()} // this process has the namespace for itself
		d, lines := configured(t, "")
		d.services, d.daemonLog, d.bridge = supervise.NewTable(), io.Discard, "xenbr0"
		defer stopServices(d)
		d.addLayer(discLayer, config.Parse("disc", []byte("network: {bridges: {xenbr0: {nic: none}, old: }}")))
		d.apply()
		network, _ := networkOf(d.config())
		manager, err := netcfg.NewManager(netcfg.Options{Network: network})
		if err != nil {
			t.Fatal(err)
		}
		d.manager = manager
		d.service("network", manager.Run)
		d.keepNetworkServices(nil)
		try := func(layer int, text string, answer error) {
			before := d.config()
			d.addLayer(layer, config.Parse("late", []byte(text)))
			d.apply()
			d.tryNetwork(t.Context(), layer, before, func(context.Context) error { return answer })
		}
		try(urlLayer, "network: {bridges: {new: {private: {address: 10.11.0.1/24}}}}", nil)
		untilAddressed(t, "new", "10.11.0.1/24")
		try(cloudLayer, "network: {bridges: {new: {private: {domain: other}}, third: }}\ntimezone: UTC\n", errCutOff)
		untilAddressed(t, "new", "10.11.0.1/24")
		if _, err := netlink.LinkByName("third"); err == nil {
			t.Error("a bridge stays that cuts the host off")
		}
		if _, err := netlink.LinkByName("old"); err != nil {
			t.Errorf("old: %v", err)
		}
		if d.config().Timezone != "UTC" || !strings.Contains(lines.String(), "cannot be reached any more") {
			t.Errorf("%+v\n%s", d.config(), lines)
		}
	})
}

func stopServices(d *dom0) {
	for _, s := range d.services.List() {
		_ = d.services.Order(context.Background(), "stop", s.Name)
	}
}

// untilAddressed waits until a bridge has one address, this one.
func untilAddressed(t *testing.T, bridge, want string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		got = nil
		link, err := netlink.LinkByName(bridge)
		if err != nil {
			continue
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			continue
		}
		for _, address := range addresses {
			got = append(got, address.IPNet.String())
		}
		if len(got) == 1 && got[0] == want {
			return
		}
	}
	t.Fatalf("%s has %v, want %s", bridge, got, want)
}
