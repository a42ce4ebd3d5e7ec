package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Figure is the median of one figure over all boots, with every single value in boot order.
type Figure struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Median float64   `json:"median"`
	Runs   []float64 `json:"runs"`
}

// Result is everything that was measured; it is what the JSON file holds.
type Result struct {
	Image       string   `json:"image"`
	Accel       string   `json:"accel"`
	Mode        string   `json:"mode"`
	Bytes       []Size   `json:"bytes"`
	Figures     []Figure `json:"figures"`
	SmallestMiB int      `json:"smallest_mib,omitempty"` // 0: not searched, or none found
}

// figures are the figures in the order of the table; the stages follow the seconds.
var figures = []struct{ name, unit string }{
	{"GRUB", "s"},
	{"Xen", "s"},
	{initStart, "s"},
	{"first guest", "s"},
	{"ready", "s"},
	{bothAddresses, "s"},
	{"both addresses / init", "x"},
	{initToCreate, "s"},
	{"dom0 RAM in use", "MiB"},
	{"stage2 RSS", "MiB"},
	{"process 1 RSS", "MiB"},
	{idleMemory, "MiB"},
	{idleWithout, "MiB"},
	{idleKernel, "MiB"},
	{idleCPU, "%"},
	{guestAdded, "s"},
	{listGuests, "ms"},
	{listAgain, "ms"},
	{manyMemory, "MiB"},
	{tenGuestsEnd, "s"},
	{stickListed, "s"},
}

// summarize returns the figures of all samples: the table's, then the pieces of memory, the stages and the rates of
// reading by name.
func summarize(samples []Sample) []Figure {
	var out []Figure
	for _, f := range figures {
		out = append(out, figure(f.name, f.unit, samples))
	}
	for _, name := range namesWith(piecePrefix, samples) {
		out = append(out, figure(name, "MiB", samples))
	}
	for _, name := range namesWith(stagePrefix, samples) {
		out = append(out, figure(name, "ms", samples))
	}
	for _, name := range namesWith(ratePrefix, samples) {
		out = append(out, figure(name, "x", samples))
	}
	return out
}

// namesWith are the names of figures that begin with prefix.
func namesWith(prefix string, samples []Sample) []string {
	var names []string
	for _, sample := range samples {
		for name := range sample {
			if strings.HasPrefix(name, prefix) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// figure collects one figure from the samples that have it.
func figure(name, unit string, samples []Sample) Figure {
	f := Figure{Name: name, Unit: unit}
	for _, sample := range samples {
		if value, ok := sample[name]; ok {
			f.Runs = append(f.Runs, value)
		}
	}
	f.Median = median(f.Runs)
	return f
}

// median returns the middle value, the mean of the middle two where their number is even, and 0
// for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Print prints the result as a table.
func (r Result) Print(w io.Writer) {
	fmt.Fprintf(w, "%s, CD, %s, %s, 2 CPUs, 1 GiB\n\n", r.Image, r.Mode, r.Accel)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "component\tbytes\t")
	for _, size := range r.Bytes {
		fmt.Fprintf(t, "%s\t%d\t\n", size.Component, size.Bytes)
	}
	fmt.Fprintln(t, "\t\t\t\t\n\tmedian\tleast\tmost\t")
	for _, f := range r.Figures {
		if len(f.Runs) > 0 {
			fmt.Fprintf(t, "%s\t%.2f %s\t%.2f\t%.2f\t\n",
				f.Name, f.Median, f.Unit, slices.Min(f.Runs), slices.Max(f.Runs))
		}
	}
	if r.SmallestMiB > 0 {
		fmt.Fprintf(t, "smallest memory\t%d MiB\t\t\t\n", r.SmallestMiB)
	}
	_ = t.Flush()
}
