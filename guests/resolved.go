package guests

import "bytes"

// Renamed returns the guest under another name.
func (d *Resolved) Renamed(name string) *Resolved {
	guest, renamed := *d.Guest, *d
	guest.Name = name
	renamed.Guest = &guest
	renamed.Complete = d.Complete.clone()
	renamed.Complete.set("name", name)
	return &renamed
}

// WithDevices returns the guest with block devices in place of the disks in devices, a map from their Vdev to the
// device's path. Whatever format an image has, its block device is raw.
func (d *Resolved) WithDevices(devices map[string]string) *Resolved {
	guest := *d
	guest.Complete = d.Complete.clone()
	list, _ := guest.Complete.List("disk") // it was read before
	for i := range list {
		disk, err := parseDisk(list[i].Text)
		if err != nil || devices[disk.vdev] == "" {
			continue
		}
		disk.target, disk.format = devices[disk.vdev], "raw"
		list[i].Text = disk.String()
	}
	return &guest
}

// Problem makes an error about the guest's configuration, at pos where that is known.
func (d *Resolved) Problem(pos Pos, remedy string, err error) *Error {
	return asError(newError(d.File, pos, err.Error(), remedy, err), d.Name, d.File)
}

// Restore reads a configuration that Bytes has made back.
func Restore(file string, text []byte) (*Resolved, error) {
	config, err := Parse(file, bytes.NewReader(text))
	if err != nil {
		return nil, asError(err, "", file)
	}
	values := map[string]string{}
	for _, name := range []string{"name", "uuid", "type"} {
		value, ok, err := config.Text(name)
		if err == nil && !ok {
			err = config.errorf(Pos{}, "restart the guest by hand", "there is no %s", name)
		}
		if err != nil {
			return nil, asError(err, values["name"], file)
		}
		values[name] = value.Text
	}
	needs, err := readMemory(config)
	if err != nil {
		return nil, asError(err, values["name"], file)
	}
	return &Resolved{
		Guest: &Guest{Name: values["name"], File: file, Config: config}, Complete: config,
		UUID: values["uuid"], Type: Type(values["type"]), Memory: needs,
	}, nil
}
