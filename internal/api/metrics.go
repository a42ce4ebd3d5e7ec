package api

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/meter"
)

// metricsType is the media type of Prometheus' text format, "Exposition formats" in its documentation.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// Kinds of metrics.
const (
	counter = "counter" // it only grows, but for a restart of what it belongs to
	gauge   = "gauge"
)

// reading is a value of a metric's, and what it belongs to: pairs of a label's name and its value.
type reading struct {
	value  float64
	labels []string
}

// metric is a row of those that are read of each guest.
type metric struct {
	name, kind, help string
	read             func(*Guest) []reading
}

// guestMetrics are all that there is of a guest. What a guest has is labelled with its name as well.
var guestMetrics = []metric{
	{"info", gauge, "1, with what the guest is.", func(g *Guest) []reading {
		return []reading{{1, []string{"uuid", g.UUID, "type", g.Type, "status", g.Status}}}
	}},
	{"restarts_total", counter, "How often the host has started it again.", func(g *Guest) []reading {
		return one(float64(g.Restarts))
	}},
	{"vcpus", gauge, "Its virtual CPUs.", func(g *Guest) []reading { return one(float64(g.VCPUs)) }},
	{"cpu_seconds_total", counter, "Processor time of its domain, which begins anew when it restarts.",
		func(g *Guest) []reading { return one(g.State.CPU.Seconds) }},
	{"memory_bytes", gauge, "Memory that it has.", func(g *Guest) []reading {
		return one(float64(g.State.Memory.Usage))
	}},
	{"changes_bytes", gauge, "Memory of dom0's that its changes to disks with copy-on-write take.",
		func(g *Guest) []reading { return g.changes(func(c *Changes) int64 { return c.Used }) }},
	{"changes_budget_bytes", gauge, "What they may take.",
		func(g *Guest) []reading { return g.changes(func(c *Changes) int64 { return c.Budget }) }},
	{"network_receive_bytes_total", counter, "What its network interface has received.",
		func(g *Guest) []reading { return perDevice("vif", g.State.Network, Traffic.in) }},
	{"network_transmit_bytes_total", counter, "What its network interface has sent.",
		func(g *Guest) []reading { return perDevice("vif", g.State.Network, Traffic.out) }},
	{"disk_read_bytes_total", counter, "What it has read from a disk.",
		func(g *Guest) []reading { return perDevice("vdev", g.State.Disk, Traffic.in) }},
	{"disk_written_bytes_total", counter, "What it has written to a disk.",
		func(g *Guest) []reading { return perDevice("vdev", g.State.Disk, Traffic.out) }},
	{"receive_packets_total", counter, "Packets that the host's rules have let through to it.",
		func(g *Guest) []reading { return g.packets(func(r *RulesState) PacketCount { return r.Received }) }},
	{"transmit_packets_total", counter, "Packets that it has sent, those that were dropped as well.",
		func(g *Guest) []reading { return g.packets(func(r *RulesState) PacketCount { return r.Sent }) }},
	{"dropped_packets_total", counter, "Packets that the host's rules have dropped, by reason.",
		func(g *Guest) []reading { return g.dropped(func(c PacketCount) uint64 { return c.Packets }) }},
	{"dropped_bytes_total", counter, "Bytes of these packets, without Ethernet's header.",
		func(g *Guest) []reading { return g.dropped(func(c PacketCount) uint64 { return c.Bytes }) }},
}

func one(value float64) []reading { return []reading{{value: value}} }

func (t Traffic) in() int64 { return t.In }

func (t Traffic) out() int64 { return t.Out }

// perDevice is a reading for each of a guest's devices.
func perDevice(label string, devices map[string]Traffic, of func(Traffic) int64) []reading {
	var readings []reading
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		readings = append(readings, reading{float64(of(devices[name])), []string{label, name}})
	}
	return readings
}

func (g *Guest) changes(of func(*Changes) int64) []reading {
	if g.Changes == nil {
		return nil
	}
	return one(float64(of(g.Changes)))
}

func (g *Guest) packets(of func(*RulesState) PacketCount) []reading {
	if g.State.Rules == nil {
		return nil
	}
	return one(float64(of(g.State.Rules).Packets))
}

func (g *Guest) dropped(of func(PacketCount) uint64) []reading {
	if g.State.Rules == nil {
		return nil
	}
	var readings []reading
	for _, reason := range slices.Sorted(maps.Keys(g.State.Rules.Dropped)) {
		readings = append(readings, reading{float64(of(g.State.Rules.Dropped[reason])), []string{"reason", reason}})
	}
	return readings
}

// getMetrics answers with all that the host counts, for Prometheus and programs that understand its format.
func (s *server) getMetrics(http.ResponseWriter, *http.Request) answer {
	now := s.State.Snapshot()
	m, err := meter.ReadHost(os.DirFS("/proc"))
	if err != nil {
		return failed(err)
	}
	var page metricsPage
	page.add("zerodisc_uptime_seconds", gauge, "Since dom0's kernel started.", one(m.Uptime.Seconds()))
	page.add("zerodisc_dom0_load1", gauge, "Load of dom0 over the last minute.", one(m.Load))
	page.add("zerodisc_dom0_memory_bytes", gauge, "Memory of dom0.", one(float64(m.TotalKiB<<10)))
	page.add("zerodisc_dom0_memory_available_bytes", gauge, "What of it programs could still have.",
		one(float64(m.AvailableKiB<<10)))
	var restarts []reading
	for _, d := range now.Host.Daemons {
		restarts = append(restarts, reading{float64(d.Restarts), []string{"service", d.Name}})
	}
	page.add("zerodisc_service_restarts_total", counter, "How often a service was started again.", restarts)
	views := s.guestsInUse(now)
	for _, metric := range guestMetrics {
		var readings []reading
		for i := range views {
			for _, r := range metric.read(&views[i]) {
				readings = append(readings, reading{r.value, append([]string{"guest", views[i].Name}, r.labels...)})
			}
		}
		page.add("zerodisc_guest_"+metric.name, metric.kind, metric.help, readings)
	}
	return plain{metricsType, page.Bytes()}
}

// metricsPage is metrics in the text format.
type metricsPage struct{ bytes.Buffer }

// add adds a metric, if anything was read of it.
func (p *metricsPage) add(name, kind, help string, readings []reading) {
	if len(readings) == 0 {
		return
	}
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	for _, r := range readings {
		p.WriteString(name)
		var labels []string
		for pair := range slices.Chunk(r.labels, 2) {
			labels = append(labels, pair[0]+`="`+labelValue.Replace(pair[1])+`"`)
		}
		if labels != nil {
			p.WriteString("{" + strings.Join(labels, ",") + "}")
		}
		p.WriteString(" " + strconv.FormatFloat(r.value, 'g', -1, 64) + "\n")
	}
}

// labelValue escapes what a label's value may not have as it is.
var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
