package config

import (
	"bytes"
	"strings"
)

// NoCloud is cloud-init's data source of that name, at a URL.
type NoCloud struct {
	URL string // ends with a slash; below it are meta-data and user-data
}

// cloudConfig is what is taken of a cloud-config (cloud-init's own names).
type cloudConfig struct {
	Hostname string   `yaml:"hostname" format:"hostname"`
	FQDN     string   `yaml:"fqdn" format:"domain"`
	Timezone string   `yaml:"timezone" format:"timezone"`
	Keys     []string `yaml:"ssh_authorized_keys" format:"ssh-key"`
	NTP      NTP      `yaml:"ntp"`
}

// metaData is what is taken of a meta-data file.
type metaData struct {
	Hostname string `yaml:"local-hostname" format:"domain"`
	Instance string `yaml:"instance-id"`
}

// ParseMetaData reads meta-data of a nocloud source: the host name is taken.
func ParseMetaData(source string, text []byte) File {
	var ignored []string
	d := parseTolerant(source, text, &metaData{}, &ignored)
	name, _, _ := strings.Cut(d.into.(*metaData).Hostname, ".")
	return File{Config: Config{Hostname: name}, Problems: d.list, source: source}
}

// ParseUserData reads user-data of a nocloud source: a zerodisc.yaml, or a cloud-config, of which the host name, the
// time zone, SSH keys and NTP servers are taken.
func ParseUserData(source string, text []byte) File {
	start := bytes.TrimSpace(text[:min(len(text), 64)])
	switch {
	case bytes.HasPrefix(start, []byte("#cloud-config")):
		return parseCloudConfig(source, text)
	case bytes.HasPrefix(start, []byte("#!")), bytes.HasPrefix(start, []byte("#include")),
		bytes.HasPrefix(start, []byte("Content-Type:")), bytes.HasPrefix(start, []byte("MIME-Version:")):
		p := problems{source: source}
		p.add(1, 1, "", "scripts, lists of URLs and messages with parts are not used; "+
			"want #cloud-config or a zerodisc.yaml")
		return File{Problems: p.list, source: source}
	}
	return Parse(source, text)
}

func parseCloudConfig(source string, text []byte) File {
	var ignored []string
	d := parseTolerant(source, text, &cloudConfig{}, &ignored)
	cloud := d.into.(*cloudConfig)
	if len(ignored) > 0 {
		d.add(0, 0, "", "of a cloud-config hostname, fqdn, timezone, ssh_authorized_keys and ntp are used, not %s",
			shorten(strings.Join(ignored, ", ")))
	}
	c := Config{Hostname: cloud.Hostname, Timezone: cloud.Timezone, NTP: cloud.NTP, SSH: SSH{Keys: cloud.Keys}}
	if c.Hostname == "" {
		c.Hostname, _, _ = strings.Cut(cloud.FQDN, ".")
	}
	return File{Config: c, Problems: d.list, source: source, places: d.places}
}

// parseTolerant collects unknown keys instead of telling of each.
func parseTolerant(source string, text []byte, into any, ignored *[]string) *decoder {
	d := &decoder{problems: problems{source: source}, into: into, ignored: ignored}
	d.run(text)
	return d
}

// NoCloudFile is meta-data and user-data of a nocloud source together. user-data counts more.
func NoCloudFile(url string, metaData, userData []byte) File {
	meta, user := ParseMetaData(url+"meta-data", metaData), ParseUserData(url+"user-data", userData)
	merged := Merge(Layer{Config: user.Config}, Layer{Config: meta.Config})
	return File{Config: merged.Config, Problems: append(meta.Problems, user.Problems...), source: url}
}
