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
