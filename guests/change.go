package guests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What is changed of a guest that runs is changed in its resolved configuration too, so that the guest has it when it
// is made anew. All functions here return another Resolved and leave the one that they are given as it was.

// with returns a copy for a change, and a resolver that makes it by the rules that the whole guest was held to.
func (d *Resolved) with(machine Machine) *resolver {
	changed := *d
	changed.Complete = d.Complete.clone()
	changed.Disks, changed.MACs = slices.Clone(d.Disks), slices.Clone(d.MACs)
	return &resolver{guest: d.Guest, machine: machine, domain: &changed}
}

// orderPos is where errors are about what somebody has ordered: nowhere in the configuration.
var orderPos = Pos{}

// WithDisk adds a disk, which is written as in disk=[...] (xl-disk-configuration(5)), and returns its vdev. Errors are
// *Error.
func (d *Resolved) WithDisk(machine Machine, spec string) (*Resolved, string, error) {
	r := d.with(machine)
	vdev, err := r.addDisk(spec)
	if err != nil {
		return nil, "", asError(err, d.Name, d.File)
	}
	return r.domain, vdev, nil
}

func (r *resolver) addDisk(spec string) (vdev string, err error) {
	added, err := parseDisk(spec)
	if err != nil {
		return "", r.config().faultAt(orderPos, fmt.Sprintf("disk %q: ", spec), err)
	}
	list, err := r.config().List("disk")
	if err != nil {
		return "", err
	}
	if at := diskAt(list, added.vdev); at >= 0 {
		return "", r.config().errorf(orderPos, "choose another device name, or detach that disk first",
			"it has a disk %s already", added.vdev)
	}
	if err := r.disk(added, orderPos); err != nil {
		return "", err
	}
	r.config().setList("disk", append(list, Value{Kind: String, Text: added.String()}))
	return added.vdev, nil
}

// diskAt is the place in a list of disks of the one with that device name, however it is written, -1 for none.
func diskAt(list []Value, vdev string) int {
	number, known := vdevNumber(vdev)
	return slices.IndexFunc(list, func(value Value) bool {
		d, err := parseDisk(value.Text)
		if err != nil || !known {
			return false
		}
		n, _ := vdevNumber(d.vdev)
		return n == number
	})
}

// DiskText is the disk with that device name as xl gets it, and its device name as the guest's configuration writes
// it; "" where there is none.
func (d *Resolved) DiskText(vdev string) (text, name string) {
	list, err := d.Complete.List("disk")
	at := diskAt(list, vdev)
	if err != nil || at < 0 {
		return "", ""
	}
	found, err := parseDisk(list[at].Text)
	if err != nil {
		return "", ""
	}
	return list[at].Text, found.vdev
}

// WithoutDisk takes a disk away.
func (d *Resolved) WithoutDisk(vdev string) *Resolved {
	r := d.with(Machine{})
	list, _ := r.config().List("disk") // it was read before
	if at := diskAt(list, vdev); at >= 0 {
		r.config().setList("disk", slices.Delete(list, at, at+1))
	}
	number, _ := vdevNumber(vdev)
	r.domain.Disks = slices.DeleteFunc(r.domain.Disks, func(disk Disk) bool {
		n, _ := vdevNumber(disk.Vdev)
		return n == number
	})
	return r.domain
}

// WithVIF adds a network interface, which is written as in vif=[...] (xl-network-configuration(5)), and returns its MAC
// address. Errors are *Error.
func (d *Resolved) WithVIF(machine Machine, spec string) (*Resolved, string, error) {
	r := d.with(machine)
	mac, err := r.addVIF(spec)
	if err != nil {
		return nil, "", asError(err, d.Name, d.File)
	}
	return r.domain, mac, nil
}

func (r *resolver) addVIF(spec string) (mac string, err error) {
	added, err := parseVif(spec)
	if err != nil {
		return "", r.config().faultAt(orderPos, fmt.Sprintf("vif %q: ", spec), err)
	}
	list, macs, taken, err := r.pinVIFs()
	if err != nil {
		return "", err
	}
	devid := 0
	for taken[devid] {
		devid++
	}
	if err := r.vif(added, r.freeMAC(macs), orderPos); err != nil {
		return "", err
	}
	if _, given := added.given["devid"]; !given {
		added.set("devid", strconv.Itoa(devid))
	}
	switch {
	case taken[added.devid(devid)]:
		return "", r.config().errorf(orderPos, "choose another devid, or none",
			"it has an interface with that devid already")
	case slices.Contains(macs, added.mac):
		return "", r.config().errorf(orderPos, "choose another one, or none",
			"it has an interface with the MAC address %s already", added.mac)
	}
	r.config().setList("vif", append(list, Value{Kind: String, Text: added.String()}))
	r.domain.MACs = append(macs, added.mac)
	return added.mac, nil
}

// pinVIFs gives each interface its number, which is otherwise its place in the list: those that stay keep theirs when
// one is taken away.
func (r *resolver) pinVIFs() (list []Value, macs []string, taken map[int]bool, err error) {
	list, err = r.config().List("vif")
	taken = map[int]bool{}
	for i := range list {
		v, err := parseVif(list[i].Text)
		if err != nil {
			return nil, nil, nil, r.config().faultAt(list[i].Pos, "", err)
		}
		if _, given := v.given["devid"]; !given {
			v.set("devid", strconv.Itoa(i))
		}
		taken[v.devid(i)] = true
		macs = append(macs, v.mac)
		list[i].Kind, list[i].Text = String, v.String()
	}
	return list, macs, taken, err
}

// freeMAC is the first number of an interface whose MAC address the guest does not have yet.
func (r *resolver) freeMAC(macs []string) int {
	index := 0
	for slices.Contains(macs, MAC(r.machine.Seed, r.guest.Name, index)) {
		index++
	}
	return index
}

// VIFWords are the parameters of the interface with that MAC address, of which xl network-attach takes each as an
// argument. nil where there is none.
func (d *Resolved) VIFWords(mac string) []string {
	list, _ := d.Complete.List("vif")
	for _, value := range list {
		if v, err := parseVif(value.Text); err == nil && v.mac == mac {
			return strings.Split(v.String(), ",")
		}
	}
	return nil
}

// WithoutVIF takes the network interface with that MAC address away.
func (d *Resolved) WithoutVIF(mac string) *Resolved {
	r := d.with(Machine{})
	list, macs, _, err := r.pinVIFs()
	at := slices.Index(macs, mac)
	if err != nil || at < 0 {
		return r.domain
	}
	r.config().setList("vif", slices.Delete(list, at, at+1))
	r.domain.MACs = slices.Delete(macs, at, at+1)
	return r.domain
}

// CanonicalMAC is a MAC address as MACs has it, from any form that xl takes.
func CanonicalMAC(text string) (string, error) {
	mac, err := parseMAC(text)
	if err == nil && mac == "" {
		err = faultf("", "mac=%s is no MAC address that an interface has", text)
	}
	return mac, err
}

// WithMemory changes what the guest starts with; what it may grow to stays.
func (d *Resolved) WithMemory(mib int64) *Resolved {
	r := d.with(Machine{})
	r.config().set("maxmem", strconv.FormatInt(d.Memory.MaxRAM/1024, 10))
	r.config().set("memory", strconv.FormatInt(mib, 10))
	r.domain.Memory.RAM = mib * 1024
	return r.domain
}

// WithVCPUs changes how many virtual CPUs the guest starts with; how many it may have stays.
func (d *Resolved) WithVCPUs(count int) *Resolved {
	r := d.with(Machine{})
	r.config().set("maxvcpus", strconv.FormatInt(d.Memory.VCPUs, 10))
	r.config().set("vcpus", strconv.Itoa(count))
	return r.domain
}

// VdevNumber is the number by which Xen knows a disk's device name, and the name of its directory in xenstore.
func VdevNumber(name string) (number int, ok bool) { return vdevNumber(name) }
