package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/readonly"
	"github.com/zerodisc/zerodisc/internal/statevolume"
	"github.com/zerodisc/zerodisc/internal/storage"
	"github.com/zerodisc/zerodisc/internal/udev"
)

// configDir is where a volume with a configuration is mounted while that is read.
const configDir = boot.RunDir + "/config"

// volumeLimit is how long the boot waits for a volume that does not answer.
const volumeLimit = 5 * time.Second

// readConfig reads the sources that the state volume and the network depend on: a labelled volume and the boot medium.
// It takes what is there now, and waits only for sticks that the kernel has just seen.
func (d *dom0) readConfig(ctx context.Context) error {
	err := d.readVolumes(ctx)
	d.readLayer(discLayer, d.discConfig())
	d.apply()
	d.bridge = d.config().Network.Default()
	return err
}

// discConfig is the configuration of the boot medium, or of the initrd after a start from the network.
func (d *dom0) discConfig() string {
	if d.cmdline[boot.KeyMediumID] == "" {
		return "/" + boot.ConfigName
	}
	return filepath.Join(boot.MediaMount, boot.ConfigName)
}

// readStateConfig adds the configuration on the state volume, tells of all that was read, and does what has waited for
// that.
func (d *dom0) readStateConfig(ctx context.Context) {
	if d.saved && d.readLayer(stateLayer, filepath.Join(boot.StateMount, boot.ConfigName)) {
		d.apply()
		d.bridge = d.config().Network.Default()
	}
	d.decidePassword()
	d.reportSources(commandLineLayer, volumeLayer, stateLayer, discLayer)
	d.startSyslog()
	if d.board && !config.Is(d.config().Services.Board, true) {
		d.endBoard()
		d.takeOver(ctx)
	}
}

// readLayer reads a file that may be missing, and says whether there is one.
func (d *dom0) readLayer(layer int, name string) bool {
	text, err := readConfigFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		d.reportProblems([]config.Problem{{Source: name, Text: err.Error()}})
		return false
	}
	d.addLayer(layer, config.Parse(name, text))
	return true
}

// addLayer takes what a source says.
func (d *dom0) addLayer(layer int, f config.File) {
	d.reportProblems(f.Problems)
	d.conf.layers[layer] = f.Layer()
}

// readConfigFile reads as much of a file as shows whether it is too long. It is on a file system of anybody's.
func readConfigFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("it is no regular file"))
	}
	return io.ReadAll(io.LimitReader(f, config.MaxSize+1))
}

// isConfigVolume says whether a label is that of a volume with a configuration.
func isConfigVolume(v statevolume.Volume) bool {
	return strings.EqualFold(v.Label, boot.ConfigLabel) || strings.EqualFold(v.Label, boot.ConfigFATLabel)
}

// readVolumes reads the one volume with the label, and follows devices for one that comes too late.
func (d *dom0) readVolumes(ctx context.Context) error {
	if d.devices == nil {
		return errors.New("devices are not followed")
	}
	d.awaitSticks(ctx)
	there, err := statevolume.Known(udev.RunDir, sysDir, isStorageName)
	if err != nil {
		return err
	}
	var found []statevolume.Event
	var names []string
	for _, e := range there {
		if isConfigVolume(e.Volume) {
			found, names = append(found, e), append(names, e.Device)
		}
	}
	d.watch(ctx, "late-configuration", endless(func(ctx context.Context) { d.followVolumes(ctx, names) }))
	switch len(found) {
	case 0:
		return nil
	case 1:
		return d.readVolume(ctx, found[0])
	}
	d.reportProblems([]config.Problem{{Source: strings.Join(names, ", "), Text: "all have the label " +
		boot.ConfigLabel + "; none of them is used: take away all but one, and reboot"}})
	return nil
}

// readVolume reads the configuration on a volume. A disk that hangs is left behind.
func (d *dom0) readVolume(ctx context.Context, e statevolume.Event) error {
	ctx, cancel := context.WithTimeout(ctx, volumeLimit)
	defer cancel()
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := textOn(e)
		done <- result{text, err}
	}()
	r := result{err: fmt.Errorf("it did not answer for %v", volumeLimit)}
	select {
	case r = <-done:
	case <-ctx.Done():
	}
	source := e.Device + ": " + boot.ConfigName
	if r.err != nil {
		d.reportProblems([]config.Problem{{Source: source, Text: r.err.Error()}})
		return nil
	}
	d.addLayer(volumeLayer, config.Parse(source, r.text))
	return nil
}

// textOn mounts a volume for a moment, for reading only.
func textOn(e statevolume.Event) (text []byte, err error) {
	how, ok := readonly.Of(e.Type)
	if !ok {
		return nil, fmt.Errorf("its file system (%s) is not supported; take FAT or ISO 9660", e.Type)
	}
	if err := os.MkdirAll(configDir, 0o700); err != nil {
		return nil, err
	}
	if err := (storage.Linux{}).Mount(e.Device, configDir, how); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, storage.Linux{}.Unmount(configDir)) }()
	text, err = readConfigFile(filepath.Join(configDir, boot.ConfigName))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the volume has no file %s", boot.ConfigName)
	}
	return text, err
}

// followVolumes tells of volumes that come when the configuration was read.
func (d *dom0) followVolumes(ctx context.Context, known []string) {
	events, err := d.devices.Subscribe(ctx, isStorage)
	if err != nil {
		return
	}
	told := map[string]bool{}
	for _, device := range known {
		told[device] = true
	}
	for e := range events {
		device := "/dev/" + e.DevName
		if e.Action == "remove" || told[device] || !isConfigVolume(statevolume.Lookup(udev.RunDir, sysDir, device)) {
			continue
		}
		told[device] = true
		d.log.Warn(boot.MsgConfig, "source", device, "err", "the volume has come after the configuration was read",
			"remedy", "to use it leave it plugged in, and reboot")
	}
}

// showSettings prints the configuration as a table.
func showSettings(out io.Writer, settings []host.Setting) int {
	if len(settings) == 0 {
		fmt.Fprintln(out, "Nothing is configured: the defaults hold.")
		return 0
	}
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tVALUE\tSOURCE")
	for _, s := range settings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Key, s.Value, s.Source)
	}
	if err := table.Flush(); err != nil {
		return fail(err)
	}
	_, _ = b.WriteTo(out)
	return 0
}
