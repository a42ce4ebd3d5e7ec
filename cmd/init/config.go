package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/timezone"
)

// Places in a configuration's layers: the first one counts most.
const (
	commandLineLayer = iota
	volumeLayer
	stateLayer
	urlLayer
	cloudLayer
	discLayer
	layerCount
)

// configFile has the configuration as it is put together, for whoever goes on after a crash. It has secrets, and only
// root may read it.
const configFile = boot.RunDir + "/config.json"

// configuration is what this machine's sources say. The boot changes it, one stage after the other; once the network is
// there, what fetches the rest does.
type configuration struct {
	line   config.CommandLine
	layers [layerCount]config.Layer
	merged atomic.Pointer[config.Config]
	shut   bool            // a source has a password's hash that cannot be used
	layout string          // of the keyboard, as it was loaded; "" for the kernel's own
	told   map[string]bool // what was said to be wrong with several sources together

	saidShut atomic.Bool // it was said that nobody gets in
}

// newConfiguration returns what a kernel command line says.
func newConfiguration(cmdline string) *configuration {
	c := &configuration{line: config.ParseCommandLine(cmdline), told: map[string]bool{}}
	c.shut = slices.ContainsFunc(c.line.Problems, func(p config.Problem) bool { return p.Key == boot.KeyPassword })
	c.layers[commandLineLayer] = config.Layer{Source: config.CommandLineSource, Config: c.line.Config}
	c.merge()
	return c
}

// unusableHash is in place of a hash that was refused: whoever set one does not want open consoles.
const unusableHash = "!"

// merge puts the sources together anew. It returns what holds now, and what is wrong that has not been told yet.
func (c *configuration) merge() ([]config.Setting, []config.Problem) {
	m, problems := config.MergeValid(c.layers[:]...)
	if c.shut && m.Config.PasswordHash == "" {
		m.Config.PasswordHash = unusableHash
	}
	c.merged.Store(&m.Config)
	problems = slices.DeleteFunc(problems, func(p config.Problem) bool { return c.told[p.Error()] })
	for _, p := range problems {
		c.told[p.Error()] = true
	}
	return m.Settings, problems
}

// saved is what a process leaves to the next one.
type saved struct {
	Layers [layerCount]config.Layer
	Shut   bool
}

// restore takes what another process has read and saved. Without it the command line alone counts.
func (c *configuration) restore(name string) {
	var left saved
	text, err := os.ReadFile(name)
	if err == nil && json.Unmarshal(text, &left) == nil {
		c.layers, c.shut = left.Layers, left.Shut
		c.merge() // what is wrong was told
	}
}

// save keeps the configuration for another process.
func (c *configuration) save(name string) error {
	text, err := json.Marshal(saved{c.layers, c.shut})
	if err != nil {
		return err
	}
	temporary := name + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, name)
}

// config is the configuration as it is now. It is never changed.
func (s *system) config() *config.Config { return s.conf.merged.Load() }

// reportParameters tells what is wrong with the kernel command line.
func (s *system) reportParameters() {
	for _, p := range s.conf.line.Problems {
		s.log.Error("kernel parameter", "key", p.Key, "err", p.Text,
			"remedy", "it is not used; docs/kernel-parameters.md")
		s.state.Tell(host.Problem{Text: p.Key + ": " + p.Text})
	}
}

// reportProblems tells what is wrong with a source, or with several together.
func (s *system) reportProblems(problems []config.Problem) {
	for _, p := range problems {
		fields := []any{"source", p.Source}
		if p.Line > 0 {
			fields = append(fields, "line", p.Line, "column", p.Column)
		}
		if p.Key != "" {
			fields = append(fields, "key", p.Key)
		}
		s.log.Error(boot.MsgConfig, append(fields, "err", p.Text,
			"remedy", "all else is used; docs/configuration.md")...)
		s.state.Tell(host.Problem{Text: p.Error()})
		s.conf.shut = s.conf.shut || p.Key == "password-hash"
	}
}

// allSources is in place of a source where several together have a problem.
const allSources = "all sources"

// apply puts the sources together, tells where each value came from, and sets what holds for the machine as a whole.
func (d *dom0) apply() {
	settings, problems := d.conf.merge()
	for i := range problems {
		problems[i].Source = allSources
	}
	d.reportProblems(problems)
	told := make(host.Configured, 0, len(settings))
	for _, s := range settings {
		told = append(told, host.Setting{Key: s.Key, Value: s.Value, Source: s.Source})
	}
	d.state.Tell(told)
	if err := d.conf.save(configFile); err != nil {
		d.log.Debug("config", "err", err)
	}
	c := d.config()
	if c.Hostname != "" {
		d.setHostname()
	}
	d.setKeyboard()
	if err := setTimezone(c.Timezone); err != nil {
		d.log.Warn(boot.MsgConfig, "key", "timezone", "err", err)
	}
}

// reportSources says what each source has set, in one line for each. What a source that counts more has set, too, is
// not in its line.
func (d *dom0) reportSources(which ...int) {
	for _, i := range which {
		var keys []string
		for _, s := range d.state.Snapshot().Host.Settings {
			if s.Source == d.conf.layers[i].Source {
				keys = append(keys, s.Key)
			}
		}
		if isRead := d.conf.layers[i].Source != "" && i != commandLineLayer; isRead || len(keys) > 0 {
			d.log.Info(boot.MsgConfig, "source", d.conf.layers[i].Source, "keys", strings.Join(keys, ","))
		}
	}
}

// setTimezone is the time zone of this process and of all that start from now on.
func setTimezone(name string) error {
	if name == "" {
		return nil
	}
	text, err := timezone.File(name)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocationFromTZData(name, text)
	if err != nil {
		return err
	}
	time.Local = zone
	return writeAtomic("/etc/localtime", string(text))
}

// resolvConf is resolv.conf(5), which netcfg writes.
const resolvConf = "/etc/resolv.conf"

// configApplet is zerodisc-config.
func configApplet([]string) int {
	snapshot, err := readState()
	if err != nil {
		return fail(err)
	}
	return showSettings(os.Stdout, snapshot.Host.Settings)
}

// machineIdentity is what a URL may have of this machine.
func (d *dom0) machineIdentity() config.Machine {
	name, _ := os.Hostname()
	return config.Machine{
		MAC:      readLine(filepath.Join("/sys/class/net", d.bridge, "address")),
		UUID:     strings.ToLower(readLine("/sys/class/dmi/id/product_uuid")),
		Serial:   readLine("/sys/class/dmi/id/product_serial"),
		Hostname: name,
	}
}
