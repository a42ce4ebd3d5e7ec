package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// CommandLine is what a kernel command line says.
type CommandLine struct {
	Config   Config
	URL      string // of a zerodisc.yaml, with ${mac} and the like; "" for none
	NoCloud  NoCloud
	Problems []Problem // Key is the parameter
}

// single are parameters with one value, by the key that they set. Of a parameter that is given twice the last one
// counts, and a later row here before an earlier one.
var single = []struct{ parameter, key string }{
	{boot.KeyHostnameShort, "hostname"},
	{boot.KeyHostname, "hostname"},
	{boot.KeyKeymap, "keyboard"},
	{boot.KeyKeyboard, "keyboard"},
	{boot.KeyPassword, "password-hash"},
	{boot.KeyAutostart, "autostart"},
	{boot.KeyBridge, "network.default-bridge"},
	{boot.KeySSH, "ssh.enabled"},
	{boot.KeyStores, "stores.disks"},
	{boot.KeyState, "stores.state"},
	{boot.KeyToRAMShort, "stores.toram"},
	{boot.KeyToRAM, "stores.toram"},
	{boot.KeyInitiator, "stores.iscsi.initiator"},
}

// lists are parameters with several values: separated by a comma, or given several times.
var lists = []struct{ parameter, key, comma string }{
	{boot.KeyWrite, "stores.write", ","},
	{boot.KeyISCSI, "stores.iscsi.targets", ","},
	{boot.KeySyslog, "logs.targets", ","},
	{boot.KeyNameserver, "dns.servers", ""},
	{boot.KeySSHKey, "ssh.keys", ""},
}

// readers are the parameters that are more than a value.
var readers = []struct {
	parameter string
	read      func(*commandLine, []string)
}{
	{boot.KeyGuests, (*commandLine).stores},
	{boot.KeyGuestsSum, (*commandLine).sumsAlone},
	{boot.KeyBudget, (*commandLine).budgets},
	{boot.KeyConfig, (*commandLine).configURL},
	{boot.KeyNTP, (*commandLine).timeServers},
	{boot.KeyWatchdog, (*commandLine).watchdog},
	{boot.KeyDataSource, (*commandLine).dataSource},
}

// commandLine reads a kernel command line.
type commandLine struct {
	problems
	CommandLine
	values map[string][]string // of each parameter, in their order
}

// CommandLineSource is how problems and settings name the kernel command line.
const CommandLineSource = "kernel command line"

// ParseCommandLine reads the parameters of a kernel command line that are about the configuration.
func ParseCommandLine(text string) CommandLine {
	c := &commandLine{problems: problems{source: CommandLineSource}, values: map[string][]string{}}
	for _, word := range boot.SplitWords(text) {
		parameter, value, _ := strings.Cut(word, "=")
		c.values[parameter] = append(c.values[parameter], value)
	}
	newAddresses(c).read() // the host name in ip= counts least
	for _, s := range single {
		if values := c.values[s.parameter]; len(values) > 0 {
			c.set(s.parameter, s.key, values[len(values)-1])
		}
	}
	for _, l := range lists {
		for _, value := range c.split(l.parameter, l.comma) {
			c.set(l.parameter, l.key, value)
		}
	}
	for _, r := range readers {
		if values := c.values[r.parameter]; len(values) > 0 {
			r.read(c, values)
		}
	}
	c.Problems = c.list
	return c.CommandLine
}

// split is all values of a parameter. Without commas it may be given several times; with them the last one counts.
func (c *commandLine) split(parameter, comma string) []string {
	values := c.values[parameter]
	if comma == "" || len(values) == 0 {
		return values
	}
	return strings.Split(values[len(values)-1], comma)
}

// fault tells what is wrong with a parameter.
func (c *commandLine) fault(parameter, format string, args ...any) {
	c.add(0, 0, parameter, format, args...)
}

// set gives a key of the configuration the value of a parameter; a list gets one more. A switch without a value is on.
func (c *commandLine) set(parameter, key, value string) bool {
	v, f := lookup(reflect.ValueOf(&c.Config).Elem(), key)
	switch {
	case value != "":
	case parameter == boot.KeyPassword:
		c.fault(parameter, "there is no hash; GRUB makes nothing of a $ and what follows, unless in single quotes")
		return false
	case v.Type() == reflect.TypeFor[*bool](), key == "stores.toram":
		value = "yes"
	default:
		return true // as if it were not given
	}
	if parameter == boot.KeySSHKey { // GRUB's settings have no quotes, so that a comma may be the space in a key
		value = strings.Replace(value, ",", " ", 1)
	}
	to := v
	if v.Kind() == reflect.Slice {
		to = reflect.New(v.Type().Elem()).Elem()
	}
	if err := set(to, f, value); err != nil {
		c.fault(parameter, "%s%v", f.shown(value), err)
		return false
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.Append(v, to))
	}
	return true
}

// timeServers reads boot.KeyNTP: servers, or a switch.
func (c *commandLine) timeServers(values []string) {
	value := values[len(values)-1]
	if _, isSwitch := parseBool(value); isSwitch {
		c.set(boot.KeyNTP, "ntp.enabled", value)
		return
	}
	for server := range strings.SplitSeq(value, ",") {
		c.set(boot.KeyNTP, "ntp.servers", server)
	}
}

// watchdog reads boot.KeyWatchdog: seconds, or a switch.
func (c *commandLine) watchdog(values []string) {
	value := values[len(values)-1]
	if _, err := strconv.ParseUint(value, 10, 16); err == nil && value != "0" && value != "1" {
		c.set(boot.KeyWatchdog, "watchdog.timeout", value+"s")
		return
	}
	c.set(boot.KeyWatchdog, "watchdog.enabled", value)
}

// lookup is the field of a configuration with a key without names.
func lookup(v reflect.Value, key string) (reflect.Value, field) {
	var f field
	for name := range strings.SplitSeq(key, ".") {
		f, _ = find(fieldsOf(v.Type()), name)
		v = v.Field(f.index)
	}
	return v, f
}

// stores reads boot.KeyGuests and boot.KeyGuestsSum.
func (c *commandLine) stores(urls []string) {
	var sums []string
	if pins := c.values[boot.KeyGuestsSum]; len(pins) > 0 && pins[len(pins)-1] != "" {
		sums = strings.Split(pins[len(pins)-1], ",")
	}
	texts := strings.Split(urls[len(urls)-1], ",")
	if len(sums) > 0 && len(sums) != len(texts) {
		c.fault(boot.KeyGuestsSum, "there are %d sums, and %s has %d URLs; write one for each, separated by commas",
			len(sums), boot.KeyGuests, len(texts))
		return
	}
	for i, text := range texts {
		store := reflect.ValueOf(&Store{}).Elem()
		if !c.setIn(store, boot.KeyGuests, "url", text) {
			continue
		}
		if len(sums) > 0 && sums[i] != "" && !c.setIn(store, boot.KeyGuestsSum, "sha256", sums[i]) {
			continue
		}
		c.Config.Stores.URLs = append(c.Config.Stores.URLs, store.Interface().(Store))
	}
}

// setIn gives a field of a structure a value.
func (c *commandLine) setIn(v reflect.Value, parameter, name, value string) bool {
	to, f := lookup(v, name)
	if err := set(to, f, value); err != nil {
		c.fault(parameter, "%s%v", f.shown(value), err)
		return false
	}
	return true
}

func (c *commandLine) sumsAlone([]string) {
	if len(c.values[boot.KeyGuests]) == 0 {
		c.fault(boot.KeyGuestsSum, "there is no %s that it could be about", boot.KeyGuests)
	}
}

// budgets reads SIZE and NAME:SIZE, separated by commas.
func (c *commandLine) budgets(values []string) {
	for word := range strings.SplitSeq(values[len(values)-1], ",") {
		if word == "" {
			continue
		}
		colon := strings.LastIndexByte(word, ':')
		var size Size
		_, f := lookup(reflect.ValueOf(&c.Config).Elem(), "stores.budget")
		if err := set(reflect.ValueOf(&size).Elem(), f, word[colon+1:]); err != nil {
			c.fault(boot.KeyBudget, "%q: %v", shorten(word), err)
			continue
		}
		if colon < 0 {
			c.Config.Stores.Budget = size
			continue
		}
		if c.Config.Guests == nil {
			c.Config.Guests = map[string]Guest{}
		}
		guest := c.Config.Guests[word[:colon]]
		guest.Budget = size
		c.Config.Guests[word[:colon]] = guest
	}
}

func (c *commandLine) configURL(values []string) {
	text := values[len(values)-1]
	_, err := Expand(text, Machine{MAC: "m", UUID: "u", Serial: "s", Hostname: "h"})
	if err == nil {
		err = formats["config-url"].check(placeholder.ReplaceAllString(text, "x"))
	}
	if err != nil {
		c.fault(boot.KeyConfig, "%q: %v", shorten(text), err)
		return
	}
	c.URL = text
}

// dataSource reads cloud-init's ds=nocloud;s=URL;h=HOSTNAME;i=ID.
func (c *commandLine) dataSource(values []string) {
	parts := strings.Split(values[len(values)-1], ";")
	if !slices.Contains([]string{"nocloud", "nocloud-net"}, parts[0]) {
		c.fault(boot.KeyDataSource, "%q is not supported; want nocloud;s=URL", shorten(parts[0]))
		return
	}
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "s", "seedfrom":
			if err := formats["config-url"].check(placeholder.ReplaceAllString(value, "x")); err != nil {
				c.fault(boot.KeyDataSource, "%q: %v", shorten(value), err)
				continue
			}
			c.NoCloud.URL = strings.TrimSuffix(value, "/") + "/"
		case "h", "local-hostname":
			c.set(boot.KeyDataSource, "hostname", value)
		case "i", "instance-id", "":
		default:
			c.fault(boot.KeyDataSource, "%q: want s=URL or h=HOSTNAME", shorten(part))
		}
	}
	if c.NoCloud.URL == "" && len(c.list) == 0 {
		c.fault(boot.KeyDataSource, "s=URL is missing")
	}
}
