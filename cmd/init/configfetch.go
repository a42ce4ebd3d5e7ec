package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/netcfg"
	"github.com/zerodisc/zerodisc/internal/webstore"
)

// Times of fetching a configuration.
const (
	fetchWait    = 60 * time.Second // that guests wait for it at most, from their turn on
	fetchLimit   = 15 * time.Second // for one file
	fetchPause   = time.Second      // before the second try; it doubles up to fetchLongest
	fetchLongest = 30 * time.Second
	fetchQuiet   = 8 * time.Second // a pause; with shorter ones a missing route is not told
)

// fetchConfig fetches the configuration at a URL, if the command line names one, once there is an address.
func (d *dom0) fetchConfig(ctx context.Context) {
	line := d.conf.line
	if line.URL == "" && line.NoCloud.URL == "" {
		return
	}
	d.fetched = make(chan struct{})
	guarded.Go(ctx, func() {
		defer close(d.fetched)
		if !d.awaitAddress(ctx) {
			return
		}
		client := webstore.NewClient()
		if line.URL != "" {
			d.fetchLayer(ctx, urlLayer, line.URL, func(ctx context.Context, url string) (config.File, error) {
				text, err := download(ctx, client, url)
				return config.Parse(url, text), err
			})
		}
		if line.NoCloud.URL != "" {
			d.fetchLayer(ctx, cloudLayer, line.NoCloud.URL, func(ctx context.Context, url string) (config.File, error) {
				return downloadNoCloud(ctx, client, url)
			})
		}
	})
}

// awaitConfig waits until the configuration at a URL is there, so that guests start as it says. One that comes later
// counts for what starts then.
func (d *dom0) awaitConfig(ctx context.Context) {
	if d.fetched == nil {
		return
	}
	select {
	case <-d.fetched:
	case <-ctx.Done():
	case <-time.After(fetchWait):
		d.log.Warn(boot.MsgConfig, "err", "the configuration from the network has not come in "+fetchWait.String(),
			"remedy", "guests start without it")
	}
}

// awaitAddress waits until dom0 has an address: on the default bridge if that is to have one, whose MAC address may be
// in the URL and is then known. It returns false if ctx ended before.
func (d *dom0) awaitAddress(ctx context.Context) bool {
	select {
	case <-d.random:
	case <-ctx.Done():
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for u := range d.state.Subscribe(ctx) {
		if slices.ContainsFunc(u.Host.Networks, func(n host.Network) bool {
			return isReachable(n) && (n.Interface == d.bridge || !d.isAddressed())
		}) {
			return true
		}
	}
	return false
}

// isAddressed says whether the default bridge is to have an address.
func (d *dom0) isAddressed() bool {
	network, _ := networkOf(d.config())
	return slices.ContainsFunc(network.Interfaces, func(i netcfg.Interface) bool {
		return i.Bridge == d.bridge && (i.IPv4.Method != netcfg.None || i.IPv6.Method != netcfg.None)
	})
}

// isReachable says whether an interface leads somewhere: it has an address for more than its own link.
func isReachable(n host.Network) bool {
	return n.NIC != "" && slices.ContainsFunc(n.Addresses, func(a host.NetworkAddress) bool {
		return !a.Prefix.Addr().IsLinkLocalUnicast()
	})
}

// errGone is an answer that will not get better.
var errGone = errors.New("there is nothing")

// fetchLayer fetches a source and takes what it says.
func (d *dom0) fetchLayer(
	ctx context.Context, layer int, url string, fetch func(context.Context, string) (config.File, error),
) {
	if f, ok := d.fetchFile(ctx, url, fetch); ok {
		before := d.config()
		d.addLayer(layer, d.withoutEarly(f))
		d.apply()
		d.decidePassword()
		d.tryNetwork(ctx, layer, before, func(ctx context.Context) error { return d.reach(ctx, url) })
		d.reportSources(layer)
		d.adaptServices(ctx, before)
	}
}

// adaptServices has the services run that run already as the configuration says now. before is what it said when they
// were started.
func (d *dom0) adaptServices(ctx context.Context, before *config.Config) {
	d.startSyslog()
	d.startClock()
	d.startSSH(ctx)
	if !d.state.Snapshot().Host.Ready {
		return // the watchdog's time is yet to come
	}
	d.startWatchdog(d.state.Answers)
	now := d.config().Watchdog
	if now.Timeout != before.Watchdog.Timeout && config.Is(now.Enabled, true) {
		d.orderService("restart", watchdogService)
	}
}

// fetchFile fetches a source, and tries again until it is there or the server says that it is not. Each new reason is
// told once.
func (d *dom0) fetchFile(
	ctx context.Context, url string, fetch func(context.Context, string) (config.File, error),
) (f config.File, ok bool) {
	said := ""
	for pause := fetchPause; ctx.Err() == nil; pause = min(2*pause, fetchLongest) {
		whole, err := config.Expand(url, d.machineIdentity())
		if err == nil {
			f, err = fetch(ctx, whole)
		} else {
			err = fmt.Errorf("%w: %w", errGone, err)
		}
		if err == nil {
			return f, true
		}
		if text := err.Error(); text != said && !isEarly(err, pause) {
			d.reportFetch(whole, err)
			said = text
		}
		if errors.Is(err, errGone) {
			return f, false
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return f, false
}

// isEarly says whether an error may go by itself: an IPv6 address may come before the IPv4 one that the server is
// reached from. pause is the one that follows.
func isEarly(err error, pause time.Duration) bool {
	return errors.Is(err, unix.ENETUNREACH) && pause < fetchQuiet
}

// reportFetch tells why a source has not come.
func (d *dom0) reportFetch(url string, err error) {
	remedy := "it is tried again"
	if errors.Is(err, errGone) {
		remedy = "nothing of it is used"
	}
	d.log.Error(boot.MsgConfig, "source", url, "err", err, "remedy", remedy)
	d.state.Tell(host.Problem{Text: url + ": " + err.Error()})
}

// withoutEarly leaves out what a source cannot say that was fetched by the network: what is decided before.
func (d *dom0) withoutEarly(f config.File) config.File {
	for _, key := range f.Config.DropEarly() {
		f.Problems = append(f.Problems, config.Problem{
			Source: f.Source(), Key: key, Text: "it comes too late for this; " +
				"put it on the command line, a labelled volume, the state volume or the disc",
		})
	}
	return f
}

// download fetches a file, or as much of it as shows that it is too long.
func download(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusOK:
		return io.ReadAll(io.LimitReader(response.Body, config.MaxSize+1))
	case response.StatusCode >= 400 && response.StatusCode < 500:
		return nil, fmt.Errorf("%w: the server answers %s", errGone, response.Status)
	}
	return nil, fmt.Errorf("the server answers %s", response.Status)
}

// downloadNoCloud fetches meta-data and user-data. One of the two may be missing.
func downloadNoCloud(ctx context.Context, client *http.Client, url string) (config.File, error) {
	meta, err := download(ctx, client, url+"meta-data")
	if err != nil && !errors.Is(err, errGone) {
		return config.File{}, err
	}
	user, err2 := download(ctx, client, url+"user-data")
	if err2 != nil && (err != nil || !errors.Is(err2, errGone)) {
		return config.File{}, err2
	}
	return config.NoCloudFile(url, meta, user), nil
}
